package steer

import (
	"log/slog"
	"strings"
)

// forwarding are the settings by which a host forwards.
var forwarding = [...]struct{ family, key string }{{"IPv4", "ipv4/ip_forward"}, {"IPv6", "ipv6/conf/all/forwarding"}}

// tellCutOff says what it means for others that a host does not forward any more:
// was are the settings that have been taken back. They may have made this host
// their gateway when it did.
func tellCutOff(log *slog.Logger, was []change) {
	var families, keep []string
	for _, f := range forwarding {
		if c, ok := find(was, f.key); ok && c.was == "0" {
			families, keep = append(families, f.family), append(keep, "net."+swap(f.key)+"=1")
		}
	}
	if len(keep) > 0 {
		log.Warn("this host forwards "+strings.Join(families, " and ")+" no longer, as before: devices that have it as their gateway are cut off",
			"to_forward", "sysctl -w "+strings.Join(keep, " "))
	}
}
