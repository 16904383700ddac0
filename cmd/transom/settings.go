package main

import (
	"transom"
	"transom/ca"
	"transom/policy"
)

// settings reads what the flags say of connections into s.
func (f *proxyFlags) settings(s *transom.Settings, byDefault string) error {
	hosts := &policy.Hosts{}
	for _, l := range []struct {
		flag  string
		texts []string
		to    *[]*policy.Pattern
	}{{"ignore-hosts", f.ignore, &hosts.Ignore}, {"allow-hosts", f.allow, &hosts.Allow}, {"tcp-hosts", f.tcp, &hosts.TCP}} {
		for _, text := range l.texts {
			p, err := policy.CompilePattern(text)
			if err != nil {
				return usagef("--%s: %w", l.flag, err)
			}
			*l.to = append(*l.to, p)
		}
	}
	s.Policy = hosts
	spoof, err := f.spoof.parse(byDefault)
	if err != nil {
		return err
	}
	s.Spoof = spoof
	s.Insecure = f.insecure
	switch f.onTLSFailure {
	case "mirror":
		s.OnTLSFailure = transom.Mirror
	case "502":
		s.OnTLSFailure = transom.BadGateway
	case "pass":
		s.OnTLSFailure = transom.PassThrough
	default:
		return usagef("--on-upstream-tls-failure %q: want mirror, 502 or pass", f.onTLSFailure)
	}
	switch f.mimic {
	case "go":
	case "client":
		return usagef("--tls-mimic client: sending the client's own ClientHello is not built yet; go follows its versions, ALPN list and groups")
	default:
		return usagef("--tls-mimic %q: want go", f.mimic)
	}
	if f.upstreamCA != "" {
		roots, err := ca.Roots(f.upstreamCA)
		if err != nil {
			return usagef("--upstream-ca: %w", err)
		}
		s.UpstreamRoots = roots
	}
	return nil
}
