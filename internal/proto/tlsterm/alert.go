package tlsterm

import (
	"errors"
	"net"
	"reflect"
	"strconv"

	"transom/internal/proto/sniff"
)

// An Alert is the description of a fatal TLS alert (RFC 8446, section 6.2, and
// IANA's TLS Alerts). As an error it stands for one that we decided to send.
type Alert uint8

// Alerts that are sent or told apart here.
const (
	HandshakeFailure       Alert = 40
	BadCertificate         Alert = 42
	UnsupportedCertificate Alert = 43
	CertificateRevoked     Alert = 44
	CertificateExpired     Alert = 45
	CertificateUnknown     Alert = 46
	UnknownCA              Alert = 48
	ProtocolVersion        Alert = 70
	InsufficientSecurity   Alert = 71
	InternalError          Alert = 80
	NoApplicationProtocol  Alert = 120
)

var alertNames = map[Alert]string{
	0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed",
	22: "record_overflow", 30: "decompression_failure", 40: "handshake_failure", 41: "no_certificate",
	42: "bad_certificate", 43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired",
	46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied",
	50: "decode_error", 51: "decrypt_error", 52: "too_many_cids_requested", 60: "export_restriction",
	70: "protocol_version", 71: "insufficient_security", 80: "internal_error", 86: "inappropriate_fallback",
	90: "user_canceled", 100: "no_renegotiation", 109: "missing_extension", 110: "unsupported_extension",
	111: "certificate_unobtainable", 112: "unrecognized_name", 113: "bad_certificate_status_response",
	114: "bad_certificate_hash_value", 115: "unknown_psk_identity", 116: "certificate_required",
	117: "general_error", 120: "no_application_protocol", 121: "ech_required",
}

// String returns the alert's registered name, or "alert 99".
func (a Alert) String() string {
	if s, ok := alertNames[a]; ok {
		return s
	}
	return "alert " + strconv.Itoa(int(a))
}

// Error returns the alert's name.
func (a Alert) Error() string { return a.String() }

// aboutCertificate reports whether a peer sends a about our certificate.
func (a Alert) aboutCertificate() bool {
	switch a {
	case BadCertificate, UnsupportedCertificate, CertificateRevoked, CertificateExpired, CertificateUnknown, UnknownCA,
		113, 114: // about its status or hash
		return true
	}
	return false
}

// AlertOf returns the alert that err carries, and whether the peer sent it;
// else we did. ok is false if there is none.
func AlertOf(err error) (a Alert, remote, ok bool) {
	var op *net.OpError
	if !errors.As(err, &op) {
		return a, false, errors.As(err, &a)
	}
	if op.Err == nil || op.Op != "remote error" && op.Op != "local error" {
		return 0, false, false
	}
	// crypto/tls does not export the type of its alerts; it is a uint8.
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false, false
	}
	return Alert(v.Uint()), op.Op == "remote error", true
}

// InKind returns the alert with which a client is told of err, the failure of a
// handshake with its server: the server's own, or handshake_failure for what we
// could not agree to. ok is false if the server's stream failed instead (closed,
// reset, timed out); the client's is ended alike.
func InKind(err error) (a Alert, ok bool) {
	if a, remote, ok := AlertOf(err); ok {
		if remote || a == ProtocolVersion || a == NoApplicationProtocol {
			return a, true
		}
		return HandshakeFailure, true
	}
	var failed net.Error
	if err == nil || isClosed(err) || isTimeout(err) || errors.As(err, &failed) {
		return 0, false
	}
	return HandshakeFailure, true
}

// SendAlert writes a as a plaintext fatal alert, the answer to a hello instead
// of a ServerHello. The record has the version that the hello can expect; hello
// may be nil. The caller closes c.
func SendAlert(c net.Conn, hello *sniff.Hello, a Alert) error {
	version := uint16(0x0303) // RFC 8446, section 5.1
	if hello != nil {
		version = min(version, max(hello.LegacyVersion, 0x0300))
	}
	_, err := c.Write([]byte{21, byte(version >> 8), byte(version), 0, 2, 2, byte(a)})
	return err
}
