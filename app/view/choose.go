package view

import (
	"path"
	"strings"
)

// views are all there are, in the order in which they are tried on bytes that
// nothing is known of.
func views() []view {
	return []view{
		{"grpc", "application/grpc application/grpc+* application/grpc-web application/grpc-web+* application/connect+*", isGRPC, grpc},
		{"grpc-web-text", "application/grpc-web-text application/grpc-web-text+*", nil, grpcText},
		{"protobuf", "application/protobuf application/x-protobuf application/proto application/vnd.google.protobuf application/*+proto application/*+protobuf application/x-google-protobuf", nil, protobuf},
		{"json", "application/json application/*+json text/json application/x-json application/manifest+json application/json-rpc application/csp-report", isJSON, jsonText},
		{"ndjson", "application/x-ndjson application/ndjson application/jsonl application/x-jsonlines application/jsonlines application/stream+json", isLines, jsonLines},
		{"sse", "text/event-stream", nil, sse},
		{"msgpack", "application/msgpack application/x-msgpack application/vnd.msgpack application/*+msgpack", nil, msgpack},
		{"cbor", "application/cbor application/*+cbor application/cbor-seq application/*+cbor-seq", nil, cbor},
		{"jwt", "application/jwt application/*+jwt application/jose", isJWT, jwt},
		{"dns", "application/dns-message", nil, dnsMessage},
		{"graphql", "application/graphql", nil, graphQL},
		{"socket.io", "", isSocketIO, socketIO},
		{"mqtt", "", isMQTT, mqtt},
		{"certificate", "application/x-x509-ca-cert application/x-x509-user-cert application/pkix-cert application/x-pem-file application/pem-certificate-chain", isPEM, certificates},
		{"html", "text/html application/xhtml+xml", isHTML, html},
		{"xml", "text/xml application/xml application/*+xml image/svg+xml model/*+xml", isXML, xml},
		{"css", "text/css", nil, styles},
		{"javascript", "text/javascript application/javascript application/x-javascript application/ecmascript text/ecmascript", nil, javascript},
		{"form", "application/x-www-form-urlencoded", nil, form},
		{"multipart", "multipart/*", nil, multipart},
		{"query", "", nil, query},
		{"image", "image/*", isPicture, picture},
		{"text", "", nil, text},
		{"hex", "", nil, hex},
	}
}

// choose returns the view that fits best.
func choose(a About, body []byte) *view {
	all := views()
	if len(body) == 0 {
		if strings.Contains(a.Target, "?") && !a.Response {
			return find("query")
		}
		return find("text")
	}
	kind := mediaType(a.Type)
	for i := range all {
		if v := &all[i]; kind != "" && v.declared(kind) {
			switch {
			case v.name == "json" && isLines(body):
				return find("ndjson")
			case v.name == "json" && !a.Response && isGraphQL(body):
				return find("graphql")
			}
			return v
		}
	}
	for i := range all {
		if v := &all[i]; v.fits != nil && v.fits(body) {
			if v.name == "json" && isLines(body) {
				continue
			}
			return v
		}
	}
	if IsText(body, a.Cut) {
		return find("text")
	}
	return find("hex")
}

// declared reports whether a media type is one that v is for.
func (v *view) declared(kind string) bool {
	for t := range strings.FieldsSeq(v.types) {
		if ok, err := path.Match(t, kind); ok && err == nil {
			return true
		}
	}
	return false
}

// mediaType returns a Content-Type without its parameters, in lower case.
func mediaType(t string) string {
	t, _, _ = strings.Cut(t, ";")
	return strings.ToLower(strings.TrimSpace(t))
}
