package sandbox

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	for _, name := range []string{"root", "0"} {
		u, err := Lookup(name)
		if err != nil || u.UID != 0 || u.GID != 0 || u.Name != "root" || u.Home == "" || !slices.Contains(u.Groups, 0) {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	u, err := Lookup("4000000001:4000000002")
	if err != nil || u.UID != 4000000001 || u.GID != 4000000002 || u.Name != "" || !slices.Equal(u.Groups, []int{4000000002}) {
		t.Errorf("numbers: %+v, %v", u, err)
	}
	if s := u.String(); s != "uid 4000000001" {
		t.Errorf("says %q", s)
	}
	for name, want := range map[string]string{
		"nobody-has-this-name": "there is no user",
		"":                     "there is no user",
		"4000000001":           "as in 4000000001:4000000001",
		"-1":                   "there is no user",
		"4294967295":           "there is no user", // "leave it" to setuid
		"1:x":                  "no gid",
		"x:1":                  "no uid",
		"1:4294967295":         "no gid",
		"1:2:3":                "no gid",
	} {
		if u, err := Lookup(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %s", name, u, err, want)
		}
	}
}

func TestSelf(t *testing.T) {
	u := Self()
	if u.UID != os.Geteuid() || u.GID != os.Getegid() || !slices.Contains(u.Groups, u.GID) {
		t.Errorf("%+v", u)
	}
	if got, why := Within(u); why != "" || !got.same(u) {
		t.Errorf("can't become itself: %+v, %s", got, why)
	}
}

func TestCaller(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		uid  int // -1: nobody is named
		name string
		err  string
	}{
		"nobody-said":    {nil, -1, "", ""},
		"sudo":           {map[string]string{"SUDO_UID": "1", "SUDO_GID": "7", "SUDO_USER": "lied"}, 1, "daemon", ""},
		"sudo-of-others": {map[string]string{"SUDO_UID": "4000000001", "SUDO_GID": "7", "SUDO_USER": "ldap"}, 4000000001, "ldap", ""},
		"sudo-by-root":   {map[string]string{"SUDO_UID": "0", "SUDO_GID": "0", "SUDO_USER": "root"}, -1, "", ""},
		"sudo-says-what": {map[string]string{"SUDO_UID": "me"}, 0, "", "SUDO_UID"},
		"sudo-no-group":  {map[string]string{"SUDO_UID": "4000000001"}, 0, "", "SUDO_GID"},
		"doas":           {map[string]string{"DOAS_USER": "daemon"}, 1, "daemon", ""},
		"doas-by-root":   {map[string]string{"DOAS_USER": "root"}, -1, "", ""},
		"doas-by-ghost":  {map[string]string{"DOAS_USER": "ghost-of-transom"}, 0, "", "DOAS_USER"},
		"pkexec":         {map[string]string{"PKEXEC_UID": "1"}, 1, "daemon", ""},
		"pkexec-unknown": {map[string]string{"PKEXEC_UID": "4000000001"}, 0, "", "PKEXEC_UID"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			u, ok, err := caller(func(key string) string { return tt.env[key] })
			switch {
			case tt.err != "":
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%+v, %v; want an error about %s", u, err, tt.err)
				}
			case err != nil || ok != (tt.uid >= 0) || ok && (u.UID != tt.uid || u.Name != tt.name):
				t.Errorf("%+v, %t, %v", u, ok, err)
			}
		})
	}
	if os.Geteuid() != 0 {
		if _, ok, err := Caller(func(string) string { return "1" }); ok || err != nil {
			t.Errorf("believed without being root: %t, %v", ok, err)
		}
	}
}

func TestSet(t *testing.T) {
	s := SetOf(NetRaw, NetAdmin)
	if got := s.String(); got != "cap_net_admin,cap_net_raw" {
		t.Errorf("%q", got)
	}
	if m := s.Missing(NetBindService, NetRaw); m.String() != "cap_net_bind_service" || s.Has(NetBindService) || !s.Has(NetRaw) {
		t.Errorf("missing %s", m)
	}
	if got := SetOf(40, 63).String(); got != "cap_checkpoint_restore,cap_63" {
		t.Errorf("%q", got)
	}
	if got := Set(0).String(); got != "" {
		t.Errorf("%q", got)
	}
}
