package steer

import "errors"

// NotForwarding returns which families, as a person names them, the host does not
// forward, of those it has. It takes no right.
func NotForwarding() (families []string, err error) {
	s, err := openSettings()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, f := range forwarding {
		if now, err := s.read(f.key); err == nil && now == "0" {
			families = append(families, f.family)
		}
	}
	return families, nil
}
