package flow

import "strconv"

// DNS is the detail of one query and its answer (RFC 1035), over UDP or TCP. The
// messages went through as they were; what is here was read beside.
type DNS struct {
	Query  *DNSMessage // nil if nobody has asked
	Answer *DNSMessage // nil as long as none came
	Notes  []string    // oddities: asked again, malformed behind the answers
}

// A DNSMessage is a query or an answer.
type DNSMessage struct {
	ID        uint16
	Flags     uint16 // the second word of the header as it was sent
	RCode     uint16 // with the upper bits of EDNS (RFC 6891, section 6.1.3)
	Questions []DNSQuestion
	Answers   []DNSRecord // of the answer section; the other two are in Raw
	Raw       []byte      // the message, without the length that TCP puts before it
}

// Bits of DNSMessage.Flags (RFC 1035, section 4.1.1; RFC 4035, section 3).
const (
	DNSResponse           = 1 << 15
	DNSAuthoritative      = 1 << 10
	DNSTruncated          = 1 << 9
	DNSRecursionDesired   = 1 << 8
	DNSRecursionAvailable = 1 << 7
	DNSAuthenticData      = 1 << 5
	DNSCheckingDisabled   = 1 << 4
)

// Opcode returns what kind of query it is: 0 is an ordinary one.
func (m *DNSMessage) Opcode() uint8 { return uint8(m.Flags >> 11 & 15) }

// A DNSQuestion is what is asked for.
type DNSQuestion struct {
	Name  string // without the last dot; "." is the root. Odd bytes are escaped as in zone files
	Type  DNSType
	Class uint16 // 1 is the internet
}

// A DNSRecord is a resource record.
type DNSRecord struct {
	Name  string
	Type  DNSType
	Class uint16
	TTL   uint32
	Data  string // as a zone file has it; \# and digits for types nobody knows (RFC 3597, section 5)
}

// A DNSType is what a record holds, or what is asked for.
type DNSType uint16

// Types that are read.
const (
	TypeA     DNSType = 1
	TypeNS    DNSType = 2
	TypeCNAME DNSType = 5
	TypeSOA   DNSType = 6
	TypePTR   DNSType = 12
	TypeMX    DNSType = 15
	TypeTXT   DNSType = 16
	TypeAAAA  DNSType = 28
	TypeSRV   DNSType = 33
	TypeDNAME DNSType = 39
	TypeOPT   DNSType = 41
	TypeSVCB  DNSType = 64
	TypeHTTPS DNSType = 65
)

var dnsTypes = map[DNSType]string{
	TypeA: "A", TypeNS: "NS", TypeCNAME: "CNAME", TypeSOA: "SOA", TypePTR: "PTR", 13: "HINFO", TypeMX: "MX", TypeTXT: "TXT",
	TypeAAAA: "AAAA", TypeSRV: "SRV", 35: "NAPTR", TypeDNAME: "DNAME", TypeOPT: "OPT", 43: "DS", 44: "SSHFP", 46: "RRSIG", 47: "NSEC",
	48: "DNSKEY", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", TypeSVCB: "SVCB", TypeHTTPS: "HTTPS",
	99: "SPF", 251: "IXFR", 252: "AXFR", 255: "ANY", 257: "CAA",
}

// String returns the name, or "TYPE65280" (RFC 3597, section 5).
func (t DNSType) String() string {
	if s, ok := dnsTypes[t]; ok {
		return s
	}
	return "TYPE" + strconv.Itoa(int(t))
}

var dnsRCodes = [...]string{
	"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE",
	16: "BADVERS", 23: "BADCOOKIE",
}

// RCodeName returns the name of a response code, or "RCODE11".
func RCodeName(code uint16) string {
	if int(code) < len(dnsRCodes) && dnsRCodes[code] != "" {
		return dnsRCodes[code]
	}
	return "RCODE" + strconv.Itoa(int(code))
}

func (*DNS) detail() {}

// size is that of the whole message, 0 if there is none.
func (m *DNSMessage) size() int64 {
	if m == nil {
		return 0
	}
	return int64(len(m.Raw))
}
