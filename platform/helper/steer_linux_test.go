package helper

import (
	"slices"
	"testing"
	"time"
)

// hang lets the proxy's patience run out, and come back.
func (f *foe) hang(t *testing.T) {
	t.Helper()
	f.pulse.waiting, f.pulse.at = true, time.Now().Add(-f.pulse.patience)
	f.tick(t.Context())
	if !f.pulse.hung {
		t.Fatal("it is not found hung")
	}
}

// states is what was applied, in words.
func (f *foe) states() (all []state) {
	for _, s := range f.steerer.applied {
		switch {
		case s.IsZero():
			all = append(all, off)
		case s.Refusing:
			all = append(all, refusing)
		case s.Draining:
			all = append(all, draining)
		default:
			all = append(all, on)
		}
	}
	return all
}

// TestHung tells what a proxy that does not answer brings about.
func TestHung(t *testing.T) {
	for name, tt := range map[string]struct {
		want   state
		closed bool
		hung   []state
		back   []state
	}{
		"capturing":         {on, false, []state{draining}, []state{draining, on}},
		"capturing-or-none": {on, true, []state{refusing}, []state{refusing, on}},
		"draining":          {draining, false, nil, nil},
		"off":               {off, false, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := narrow()
			c.Steering.Closed = tt.closed
			f := newFoe(t, c)
			f.want = tt.want
			f.hang(t)
			if got := f.states(); !slices.Equal(got, tt.hung) {
				t.Errorf("hung: %v, want %v", got, tt.hung)
			}
			f.send(t, bytesOf(request{kind: sayPong, id: f.pulse.id}))
			if got := f.states(); !slices.Equal(got, tt.back) {
				t.Errorf("back: %v, want %v", got, tt.back)
			}
		})
	}
}

// TestUnwatched: without a watch nothing is captured, and the proxy is told.
func TestUnwatched(t *testing.T) {
	for name, want := range map[string]state{"open": draining, "closed": refusing} {
		t.Run(name, func(t *testing.T) {
			c := narrow()
			c.Steering.Closed = want == refusing
			f := newFoe(t, c)
			f.send(t, bytesOf(request{kind: askApply, id: 7, state: on}))
			f.unwatch(t.Context())
			if got := f.states(); !slices.Equal(got, []state{on, want}) {
				t.Errorf("applied %v", got)
			}
			f.send(t, bytesOf(request{kind: askApply, id: 8, state: on}))
			answers, _ := f.heard(t)
			if len(answers) != 3 || answers[1].kind != sayLost || answers[2].errno == 0 {
				t.Errorf("said %v", answers)
			}
		})
	}
}
