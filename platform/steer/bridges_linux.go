package steer

import (
	"errors"
	"fmt"
	"os"
	"strings"

	diag "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"transom/platform"
)

// A bridge may show to the chains of IP what it carries, before it passes it up:
// by a setting for all bridges, or for it alone, and for each of the families. On
// the way up a packet forgets which socket TPROXY has found for it. nf_tables can
// put a chain where it finds it once more (see steering.bridged), iptables can't.

// showing names the settings by which bridges among ifaces show what they carry,
// as sysctl or ip would change them. It asks about the network namespace of the
// calling thread.
func showing(ifaces []string, ipv6 bool) (names, remedies []string, err error) {
	if !bridgesFilter() {
		return nil, nil, nil
	}
	words := []string{"iptables"}
	if ipv6 {
		words = append(words, "ip6tables")
	}
	all := make(map[string]bool)
	for _, word := range words {
		b, err := os.ReadFile("/proc/sys/net/bridge/bridge-nf-call-" + word)
		if err != nil {
			return nil, nil, fmt.Errorf("read whether bridges show what they carry: %w", err)
		}
		all[word] = strings.TrimSpace(string(b)) != "0"
	}
	for _, iface := range ifaces {
		bridge, single, err := bridgeSettings(iface)
		if err != nil {
			return nil, nil, err
		}
		for _, word := range words {
			switch {
			case !bridge:
			case all[word]:
				all[word] = false // once is enough
				names = append(names, "net.bridge.bridge-nf-call-"+word)
				remedies = append(remedies, "sysctl -w net.bridge.bridge-nf-call-"+word+"=0")
			case single[word]:
				names = append(names, "nf_call_"+word+" of "+iface)
				remedies = append(remedies, "ip link set "+iface+" type bridge nf_call_"+word+" 0")
			}
		}
	}
	return names, remedies, nil
}

// Showing returns the settings by which bridges among interfaces show to rules what
// they carry, and the commands that turn them off.
func Showing(interfaces []string) (names, remedies []string, err error) {
	s, err := openSettings()
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return showing(interfaces, s.ipv6())
}

// bridgeSettings reports whether an interface is a bridge, and what it shows by
// settings of its own.
func bridgeSettings(iface string) (bridge bool, shows map[string]bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("look at interface %s: %w", iface, err)
		}
	}()
	c, err := diag.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return false, nil, err
	}
	defer c.Close()
	e := diag.NewAttributeEncoder()
	e.String(unix.IFLA_IFNAME, iface)
	name, err := e.Encode()
	if err != nil {
		return false, nil, err
	}
	list, err := c.Execute(diag.Message{
		Header: diag.Header{Type: unix.RTM_GETLINK, Flags: diag.Request},
		Data:   append(make([]byte, unix.SizeofIfInfomsg), name...),
	})
	if errors.Is(err, unix.ENODEV) {
		return false, nil, nil // it has gone; who needs it says so
	}
	if err != nil || len(list) != 1 || len(list[0].Data) < unix.SizeofIfInfomsg {
		return false, nil, errors.Join(err, errNotTold)
	}
	return parseBridge(list[0].Data[unix.SizeofIfInfomsg:])
}

var errNotTold = errors.New("the kernel does not tell what it is")

// parseBridge reads the attributes of an interface.
func parseBridge(b []byte) (bridge bool, shows map[string]bool, err error) {
	shows = make(map[string]bool)
	a, err := diag.NewAttributeDecoder(b)
	if err != nil {
		return false, nil, err
	}
	for a.Next() {
		if a.Type() != unix.IFLA_LINKINFO {
			continue
		}
		a.Nested(func(info *diag.AttributeDecoder) error {
			for info.Next() {
				switch info.Type() {
				case unix.IFLA_INFO_KIND:
					bridge = info.String() == "bridge"
				case unix.IFLA_INFO_DATA:
					data, err := diag.NewAttributeDecoder(info.Bytes())
					if err != nil {
						return err
					}
					for bridge && data.Next() { // the kind comes first
						switch data.Type() {
						case unix.IFLA_BR_NF_CALL_IPTABLES:
							shows["iptables"] = data.Uint8() != 0
						case unix.IFLA_BR_NF_CALL_IP6TABLES:
							shows["ip6tables"] = data.Uint8() != 0
						}
					}
					if err := data.Err(); err != nil {
						return err
					}
				}
			}
			return info.Err()
		})
	}
	return bridge, shows, a.Err()
}

// heldUp says why TPROXY by iptables does not work for what t captures, and what to
// do about it. nil is that it works.
func (x *IPTables) heldUp(t *steering) error {
	if !t.tproxy() {
		return nil
	}
	names, remedies, err := showing(t.ifaces, x.settings.ipv6())
	if err != nil || len(names) == 0 {
		return err
	}
	return fmt.Errorf("TPROXY by iptables is %w where clients are behind a bridge and %s is 1, as Docker has it: connections would time out; %s, or use --backend nft, or --method redirect",
		platform.ErrUnsupported, strings.Join(names, " and "), strings.Join(remedies, " && "))
}
