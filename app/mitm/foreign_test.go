package mitm_test

import (
	"cmp"
	"context"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"transom/app/export"
	"transom/app/mitm"
	"transom/store"
)

func itoa(n int) string { return strconv.Itoa(n) }

// What the dicts of foreign files are made of. Text stands for octets, as in files.
type (
	dict map[string]any
	list []any
	text string // with mitmproxy's tag for it
)

// tnet writes a value as a tnetstring.
func tnet(v any) string {
	switch v := v.(type) {
	case nil:
		return "0:~"
	case bool:
		return length(strconv.FormatBool(v)) + "!"
	case int:
		return length(itoa(v)) + "#"
	case float64:
		return length(strconv.FormatFloat(v, 'f', -1, 64)) + "^"
	case string:
		return length(v) + ","
	case text:
		return length(string(v)) + ";"
	case list:
		var b strings.Builder
		for _, in := range v {
			b.WriteString(tnet(in))
		}
		return length(b.String()) + "]"
	case dict:
		var b strings.Builder
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b.WriteString(tnet(text(k)) + tnet(v[k]))
		}
		return length(b.String()) + "}"
	}
	panic("no such value")
}

// with returns a dict with more in it, or in the place of what it has.
func (d dict) with(more dict) dict {
	d = maps.Clone(d)
	maps.Copy(d, more)
	return d
}

func (d dict) without(names ...string) dict {
	d = maps.Clone(d)
	for _, n := range names {
		delete(d, n)
	}
	return d
}

const uuid = "468a3735-e4c2-4dea-b6e7-827a47751b3"

// flow21 is a flow as format 21 has it, in the order of what changed before it: each of
// the older formats is made of the one above.
func flow21() dict {
	end := dict{
		"id": text(uuid + "1"), "error": nil, "tls": true, "certificate_list": list{}, "alpn": "h2", "alpn_offers": list{"h2", "http/1.1"},
		"cipher": text("ECDHE-RSA-AES128-GCM-SHA256"), "cipher_list": list{}, "tls_version": text("TLSv1.2"), "sni": text("shop.test"), "transport_protocol": text("tcp"),
		"timestamp_start": 1700000000.25, "timestamp_end": nil, "timestamp_tls_setup": 1700000000.5,
		"peername": list{text("192.0.2.7"), 40000}, "sockname": list{text("::1"), 8080, 0, 0},
	}
	return dict{
		"version": 21, "type": text("http"), "id": text(uuid + "0"), "intercepted": false, "is_replay": nil, "marked": text(":grapes:"),
		"metadata": dict{"somebody": text("else")}, "comment": text("slow"), "timestamp_created": 1700000001.0, "error": nil, "unknown": list{1},
		"client_conn": end.with(dict{"mitmcert": nil, "proxy_mode": text("reverse:https://shop.test")}),
		"server_conn": end.with(dict{
			"id": text(uuid + "2"), "address": list{text("shop.test"), 443}, "peername": list{text("203.0.113.7"), 443}, "sockname": list{text("198.51.100.1"), 5},
			"timestamp_tcp_setup": 1700000000.375, "via": nil,
		}),
		"request": dict{
			"host": text("shop.test"), "port": 443, "method": "POST", "scheme": "https", "authority": "", "path": "/a", "http_version": "HTTP/1.1",
			"headers": list{list{"Host", "shop.test"}, list{"A", "\xff"}}, "content": "q", "trailers": nil, "timestamp_start": 1700000001.5, "timestamp_end": 1700000001.75,
		},
		"response": dict{
			"http_version": "HTTP/1.1", "status_code": 200, "reason": "OK", "headers": list{list{"B", "c"}}, "content": "answer", "trailers": list{list{"T", "1"}},
			"timestamp_start": 1700000002.0, "timestamp_end": 1700000002.5,
		},
		"websocket": dict{
			"messages":         list{list{1, true, "hello", 1700000003.0, false, false}, list{2, false, "\x00", 1700000004.0, true, true}},
			"closed_by_client": false, "close_code": 1001, "close_reason": text("away"), "timestamp_end": 1700000005.0,
		},
	}
}

// older returns a flow of the format below that of f.
func older(f dict) dict {
	v := f["version"].(int) - 1
	f = f.with(dict{"version": v})
	client, server := f["client_conn"].(dict), f["server_conn"].(dict)
	req, resp := f["request"].(dict), f["response"].(dict)
	switch v {
	case 19:
		client, server = client.with(dict{"state": 0}), server.with(dict{"state": 0})
	case 18:
		end := func(d dict) dict {
			return d.with(dict{"cipher_name": d["cipher"], "tls_established": d["timestamp_tls_setup"] != nil}).without("cipher")
		}
		client = end(client).with(dict{"address": client["peername"], "tls_extensions": list{}}).without("peername")
		server = end(server).with(dict{"ip_address": server["peername"], "source_address": server["sockname"], "via2": nil}).without("peername", "sockname")
	case 17:
		client, server = client.without("proxy_mode", "transport_protocol"), server.without("transport_protocol")
	case 16:
		f["mode"] = text("regular")
	case 15:
		delete(f, "timestamp_created")
	case 14:
		ws := f["websocket"].(dict)
		var messages list
		for _, m := range ws["messages"].(list) {
			messages = append(messages, m.(list)[:5])
		}
		f["websocket"] = ws.with(dict{"messages": messages})
	case 13:
		delete(f, "comment")
	case 12:
		f["marked"] = true
	case 11: // the WebSocket is another flow
		delete(f, "websocket")
		f["metadata"] = dict{"websocket": true}
	case 10:
		client = client.with(dict{"alpn_proto_negotiated": client["alpn"]}).without("alpn")
		server = server.with(dict{"alpn_proto_negotiated": server["alpn"]}).without("alpn")
	case 9:
		client = client.with(dict{"clientcert": nil}).without("state", "error", "tls", "alpn_offers", "cipher_list", "sockname", "certificate_list")
		server = server.with(dict{"cert": nil}).without("state", "error", "tls", "alpn_offers", "cipher_list", "certificate_list", "cipher_name", "via2")
	case 8:
		req = req.with(dict{"first_line_format": text("relative"), "is_replay": false}).without("authority")
		resp = resp.with(dict{"is_replay": false})
		delete(f, "is_replay")
	case 7:
		req, resp = req.without("trailers"), resp.without("trailers")
	case 6:
		client = client.without("tls_extensions")
	case 5:
		client = client.with(dict{"ssl_established": true, "timestamp_ssl_setup": nil}).without("tls_established", "timestamp_tls_setup")
		server = server.with(dict{"ssl_established": true, "timestamp_ssl_setup": nil}).without("tls_established", "timestamp_tls_setup")
	}
	return f.with(dict{"client_conn": client, "server_conn": server, "request": req, "response": resp})
}

// oldWebSocket is what stood behind a handshake below format 12.
func oldWebSocket(f dict) dict {
	return dict{
		"version": f["version"], "type": text("websocket"), "id": text(uuid + "9"), "metadata": dict{"websocket_handshake": text(uuid + "0")},
		"client_conn": f["client_conn"], "server_conn": f["server_conn"].(dict).with(dict{"timestamp_end": 1700000005.0}), "error": nil,
		"messages":     list{list{1, true, text("hello"), 1700000003.0, false}, list{2, false, "\x00", 1700000004.0, true}},
		"close_sender": text("server"), "close_code": 1001, "close_reason": text("away"), "marked": false,
	}
}

var update = flag.Bool("update", false, "rewrite the golden file")

type foreignFile struct{ name, data string }

// foreign are files as mitmproxy has written them, by what is known of their form.
func foreign() (files []foreignFile) {
	f := flow21()
	for {
		v := f["version"].(int)
		data := tnet(f)
		if v < 12 {
			data += tnet(oldWebSocket(f))
		}
		files = append(files, foreignFile{"http-" + itoa(v), data})
		if v == 5 {
			break
		}
		f = older(f)
	}
	base := flow21().without("request", "response", "websocket")
	message := list{list{true, "hello", 1700000003.0}, list{false, "\xff", 1700000004.0}}
	record := dict{"name": text("www.test"), "type": 1, "class_": 1, "ttl": 60, "data": "\xcb\x00\x71\x07"}
	dns := dict{
		"id": 7, "query": true, "op_code": 0, "authoritative_answer": false, "truncation": false, "recursion_desired": true, "recursion_available": false,
		"reserved": 1, "response_code": 0, "questions": list{record.without("ttl", "data")}, "answers": list{}, "authorities": list{}, "additionals": list{}, "timestamp": 1700000003.0,
	}
	failed := dict{"msg": text("no"), "timestamp": 1700000009.0}
	return append(files,
		foreignFile{"tcp", tnet(base.with(dict{"type": text("tcp"), "messages": message, "error": failed}))},
		foreignFile{"udp", tnet(base.with(dict{"type": text("udp"), "messages": message}))},
		foreignFile{"dns", tnet(base.with(dict{"type": text("dns"), "request": dns, "response": dns.with(dict{"query": false, "answers": list{record, record.with(dict{"name": text("bücher.test")})}, "timestamp": 1700000004.0})}))},
		foreignFile{"error", tnet(flow21().with(dict{"response": nil, "websocket": nil, "error": failed, "is_replay": text("request")}))},
		foreignFile{"changed", tnet(flow21().with(dict{"websocket": nil, "backup": flow21().with(dict{"request": flow21()["request"].(dict).with(dict{"method": "PUT", "content": "was"})})}))},
	)
}

// TestForeign: what mitmproxy has written, in every format, as we print it.
func TestForeign(t *testing.T) {
	golden := filepath.Join("testdata", "foreign.txt")
	var b strings.Builder
	for _, file := range foreign() {
		to := store.NewMemory(store.MemoryOptions{})
		if err := mitm.Read(context.Background(), strings.NewReader(file.data), to); err != nil {
			t.Errorf("%s: %v", file.name, err)
		}
		b.WriteString("== " + file.name + "\n")
		all := everything(t, to)
		slices.SortStableFunc(all, func(a, b kept) int { return cmp.Compare(a.Type(), b.Type()) })
		for _, k := range all {
			b.Write(export.AppendJSON(nil, k.Flow, export.End))
			b.WriteString("\n")
			for _, body := range k.Bodies {
				b.WriteString("  " + strconv.Quote(body) + "\n")
			}
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(b.String(), "\n")
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(got) || got[i] != line {
			t.Fatalf("line %d:\n%s\nwant\n%s", i+1, got[min(i, len(got)-1)], line)
		}
	}
}
