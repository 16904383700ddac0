package flow

import "slices"

// Differs appends to names what the server sees of us that is not as the client
// has it, each by the name that it has in JSON. What is not known of one leg is
// not said to differ.
func (c *Conn) Differs(names []string) []string {
	client := c.TLS()
	if client == nil || c.Server == nil || c.Server.TLS == nil {
		return names
	}
	server := c.Server.TLS
	names = differs(names, "version", client.Version, server.Version)
	names = differs(names, "cipher", client.CipherSuite, server.CipherSuite)
	names = differs(names, "alpn", client.Protocol, server.Protocol)
	if client.JA4 != "" && server.JA4 != "" { // both hellos are known, also what they lack
		if client.ServerName != server.ServerName {
			names = append(names, "sni")
		}
		if !slices.Equal(client.ALPN, server.ALPN) {
			names = append(names, "offered")
		}
	}
	names = differs(names, "ja3", client.JA3, server.JA3)
	return differs(names, "ja4", client.JA4, server.JA4)
}

// Fingerprints returns how HTTP/2 began on each leg; see Layer.H2. "" is not by
// HTTP/2, or not yet.
func (c *Conn) Fingerprints() (client, server string) {
	for i := range c.Layers {
		if c.Layers[i].H2 != "" {
			client = c.Layers[i].H2
		}
	}
	if c.Server != nil {
		server = c.Server.H2
	}
	return client, server
}

// differs appends name if both legs have a value and these are not the same.
func differs[T comparable](names []string, name string, client, server T) []string {
	var unknown T
	if client == unknown || server == unknown || client == server {
		return names
	}
	return append(names, name)
}
