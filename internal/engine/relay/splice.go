package relay

// splice lets the kernel move the rest of one direction. ok is false if the two
// ends are not both sockets.
func (p *pump) splice() (readErr, writeErr error, ok bool) {
	return nil, nil, false
}
