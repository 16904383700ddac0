package view_test

import (
	"testing"

	"transom/app/view"
)

const (
	mqttOld = "\x10\x12\x00\x04MQTT\x04\x82\x00\x3c\x00\x02me\x00\x02ab" + "\x32\x0d\x00\x04home\x00\x07[1,2]" + "\xc0\x00" + "\x82\x09\x00\x01\x00\x04home\x01"
	mqttNew = "\x10\x12\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\x00\x0a\x00\x02me" + "\x30\x0b\x00\x04home\x02\x01\x00on"
)

func TestMQTT(t *testing.T) {
	golden(t, []specimen{
		{name: "mqtt", body: mqttOld},
		{name: "mqtt-5", body: mqttNew},
		{name: "mqtt-published", body: "\x32\x0d\x00\x04home\x00\x07[1,2]\xc0\x00"},
		{name: "mqtt-subscribed", body: "\x82\x09\x00\x01\x00\x04home\x01"},
		{name: "mqtt-that-is-none", body: "\x30\x03\x00\x01\x07"},
		{name: "mqtt-that-breaks", view: "mqtt", body: "\xc0\x00\x30\x7fab"},
	})
}

func FuzzMQTT(f *testing.F) { fuzz(f, "mqtt", view.About{}, mqttOld, mqttNew, "\x30\xff\xff\xff\x7f") }

func BenchmarkMQTT(b *testing.B) { bench(b, specimen{view: "mqtt", body: mqttOld}) }
