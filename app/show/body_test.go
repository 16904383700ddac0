package show_test

import (
	"strings"
	"testing"

	"transom/app/show"
	"transom/flow"
	"transom/store"
)

// shownBody prints one answer with this body.
func shownBody(t *testing.T, detail int, kind, body string) string {
	t.Helper()
	s := &scene{store: store.NewMemory(store.MemoryOptions{})}
	defer s.store.Close()
	h := get("/")
	h.Response.Header = flow.Header{{Name: "Content-Type", Value: kind}}
	h.ResponseBody = s.body([]byte(body))
	return run(t, show.Options{Detail: detail, Store: s.store}, s.add(conn(), h, ""))
}

// What a view shows is bounded by what it makes of a body, not by the body.
func TestFormattedBodiesAreCutShort(t *testing.T) {
	const all = "all is shown from --flow-detail 4"
	numbers := "[" + strings.Repeat("1,", 500) + "2]"
	long := `{"a":"` + strings.Repeat("é", 3000) + `"}`
	for _, tc := range []struct{ name, body string }{{"rows", numbers}, {"columns", long}} {
		t.Run(tc.name, func(t *testing.T) {
			got := shownBody(t, 3, "application/json", tc.body)
			if !strings.Contains(got, all) || len(got) > 4<<10 || strings.Contains(got, `\x`) || strings.Count(got, "\n") > 60 {
				t.Errorf("at detail 3 of %d bytes:\n%s", len(tc.body), got)
			}
			if got = shownBody(t, 4, "application/json", tc.body); strings.Contains(got, all) || len(got) < len(tc.body) {
				t.Errorf("at detail 4 of %d bytes:\n%s", len(tc.body), got)
			}
		})
	}
}
