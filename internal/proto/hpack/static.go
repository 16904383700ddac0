package hpack

// static is the static table (RFC 7541, appendix A). Its indices begin at 1.
var static = [...]entry{
	1:  {":authority", ""},
	2:  {":method", "GET"},
	3:  {":method", "POST"},
	4:  {":path", "/"},
	5:  {":path", "/index.html"},
	6:  {":scheme", "http"},
	7:  {":scheme", "https"},
	8:  {":status", "200"},
	9:  {":status", "204"},
	10: {":status", "206"},
	11: {":status", "304"},
	12: {":status", "400"},
	13: {":status", "404"},
	14: {":status", "500"},
	15: {"accept-charset", ""},
	16: {"accept-encoding", "gzip, deflate"},
	17: {"accept-language", ""},
	18: {"accept-ranges", ""},
	19: {"accept", ""},
	20: {"access-control-allow-origin", ""},
	21: {"age", ""},
	22: {"allow", ""},
	23: {"authorization", ""},
	24: {"cache-control", ""},
	25: {"content-disposition", ""},
	26: {"content-encoding", ""},
	27: {"content-language", ""},
	28: {"content-length", ""},
	29: {"content-location", ""},
	30: {"content-range", ""},
	31: {"content-type", ""},
	32: {"cookie", ""},
	33: {"date", ""},
	34: {"etag", ""},
	35: {"expect", ""},
	36: {"expires", ""},
	37: {"from", ""},
	38: {"host", ""},
	39: {"if-match", ""},
	40: {"if-modified-since", ""},
	41: {"if-none-match", ""},
	42: {"if-range", ""},
	43: {"if-unmodified-since", ""},
	44: {"last-modified", ""},
	45: {"link", ""},
	46: {"location", ""},
	47: {"max-forwards", ""},
	48: {"proxy-authenticate", ""},
	49: {"proxy-authorization", ""},
	50: {"range", ""},
	51: {"referer", ""},
	52: {"refresh", ""},
	53: {"retry-after", ""},
	54: {"server", ""},
	55: {"set-cookie", ""},
	56: {"strict-transport-security", ""},
	57: {"transfer-encoding", ""},
	58: {"user-agent", ""},
	59: {"vary", ""},
	60: {"via", ""},
	61: {"www-authenticate", ""},
}

// staticName returns the first and the last index of a name in the static
// table, 0 if it has none. Names that it has more than once stand in a row.
func staticName(name string) (first, last uint64) {
	switch name {
	case ":authority":
		return 1, 1
	case ":method":
		return 2, 3
	case ":path":
		return 4, 5
	case ":scheme":
		return 6, 7
	case ":status":
		return 8, 14
	case "accept-charset":
		return 15, 15
	case "accept-encoding":
		return 16, 16
	case "accept-language":
		return 17, 17
	case "accept-ranges":
		return 18, 18
	case "accept":
		return 19, 19
	case "access-control-allow-origin":
		return 20, 20
	case "age":
		return 21, 21
	case "allow":
		return 22, 22
	case "authorization":
		return 23, 23
	case "cache-control":
		return 24, 24
	case "content-disposition":
		return 25, 25
	case "content-encoding":
		return 26, 26
	case "content-language":
		return 27, 27
	case "content-length":
		return 28, 28
	case "content-location":
		return 29, 29
	case "content-range":
		return 30, 30
	case "content-type":
		return 31, 31
	case "cookie":
		return 32, 32
	case "date":
		return 33, 33
	case "etag":
		return 34, 34
	case "expect":
		return 35, 35
	case "expires":
		return 36, 36
	case "from":
		return 37, 37
	case "host":
		return 38, 38
	case "if-match":
		return 39, 39
	case "if-modified-since":
		return 40, 40
	case "if-none-match":
		return 41, 41
	case "if-range":
		return 42, 42
	case "if-unmodified-since":
		return 43, 43
	case "last-modified":
		return 44, 44
	case "link":
		return 45, 45
	case "location":
		return 46, 46
	case "max-forwards":
		return 47, 47
	case "proxy-authenticate":
		return 48, 48
	case "proxy-authorization":
		return 49, 49
	case "range":
		return 50, 50
	case "referer":
		return 51, 51
	case "refresh":
		return 52, 52
	case "retry-after":
		return 53, 53
	case "server":
		return 54, 54
	case "set-cookie":
		return 55, 55
	case "strict-transport-security":
		return 56, 56
	case "transfer-encoding":
		return 57, 57
	case "user-agent":
		return 58, 58
	case "vary":
		return 59, 59
	case "via":
		return 60, 60
	case "www-authenticate":
		return 61, 61
	}
	return 0, 0
}

// staticField returns the index of a whole field in the static table, or 0.
func staticField(name, value string) uint64 {
	first, last := staticName(name)
	if first == 0 {
		return 0
	}
	for i := first; i <= last; i++ {
		if static[i].value == value {
			return i
		}
	}
	return 0
}
