package show_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"

	"transom/app/redact"
	"transom/app/show"
	"transom/filter"
	"transom/flow"
	"transom/message"
	"transom/store"
)

// secretive returns news of flows with a secret in each place, as they come.
func secretive(s *scene) iter.Seq2[*flow.Flow, int] {
	const secret = "topsecret"
	ask, answer, log := s.store.NewBody(), s.store.NewBody(), s.store.NewBody()
	return func(yield func(*flow.Flow, int) bool) {
		h := *get("/?token=" + secret)
		h.Request.Header = flow.Header{{Name: "Authorization", Value: "Bearer " + secret}, {Name: "Content-Type", Value: "application/json"}}
		h.Request.Raw = []byte("GET /?token=" + secret + " HTTP/1.1\r\n\r\n")
		h.Response.Header = flow.Header{{Name: "Set-Cookie", Value: "id=" + secret}, {Name: "Content-Type", Value: "text/event-stream"}}
		state := flow.Open
		step := func(w io.Writer, more string) {
			io.WriteString(w, more)
			now := h
			now.RequestBody, now.ResponseBody = ask.Ref(), answer.Ref()
			f := &flow.Flow{ID: id(1), Conn: conn(), Start: began, State: state, Detail: &now}
			if state != flow.Open {
				f.End = began.Add(1)
			}
			yield(f, 0)
		}
		step(ask, `{"pass`)
		step(ask, `word":"topse`)
		step(ask, `cret"}`)
		step(answer, "data: {\"password\":\"topse")
		step(answer, "cret\",\"a\":\"shown\"}\n\n")
		e := message.Entry{Op: 1, Size: 24}
		log.Write(append(message.AppendHead(nil, &e, 0), `{"password":"topsecret"}`...))
		ws := flow.Flow{ID: id(2), Conn: conn(), Start: began, State: flow.Open, Detail: &flow.Messages{Kind: "websocket", Request: h.Request, Log: log.Ref()}}
		yield(&ws, 0)
		ended := ws
		ended.State, ended.End = flow.Done, began.Add(1)
		yield(&ended, 0)
		yield(&flow.Flow{ID: id(3), Conn: conn(), Start: began, End: began.Add(1), State: flow.Failed, Err: "no request", Detail: &flow.HTTP{Request: &flow.RequestHead{Raw: []byte("GOT /?token=" + secret + " HTTP\r\n\r\n")}}}, 0)
		state = flow.Done
		step(answer, "data: end\n\n")
	}
}

// What a person does not want to be seen is in nothing that is shown, also while flows
// go on; what chooses them sees all.
func TestRedact(t *testing.T) {
	rules, err := redact.Parse([]string{"secrets"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := filter.Parse(`~u topsecret | ~b topsecret | !~http | ~e`, filter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for detail := 1; detail <= 4; detail++ {
		for i := range 4 {
			o := show.Options{Detail: detail, JSON: i&1 != 0, Recorded: i&2 != 0, Redact: rules, Filter: all}
			t.Run(fmt.Sprintf("%d-json-%v-recorded-%v", detail, o.JSON, o.Recorded), func(t *testing.T) {
				s := &scene{store: store.NewMemory(store.MemoryOptions{})}
				defer s.store.Close()
				o.Store = s.store
				var out bytes.Buffer
				if err := show.Run(context.Background(), &out, secretive(s), o); err != nil {
					t.Fatal(err)
				}
				got := out.String()
				for _, secret := range []string{"topse", "cret", base64.StdEncoding.EncodeToString([]byte("topsecret"))[:8]} {
					if strings.Contains(got, secret) {
						t.Errorf("%q is in\n%s", secret, got)
					}
				}
				if !strings.Contains(got, "token=REDACTED") || !strings.Contains(got, "no request") || detail >= 3 && !strings.Contains(got, "shown") {
					t.Errorf("too little is shown:\n%s", got)
				}
			})
		}
	}
}
