package flow

// A Process is a program on the proxy's own host, as the client of a connection. It is
// what was seen a moment after the connection was made, and some of it may be unknown:
// the zero value of that. Its texts are the program's to choose and may hold anything.
type Process struct {
	PID  int    // one that has the socket; 0 if none was found, or was to be seen
	Name string // what lists of processes call it, up to 15 bytes
	Path string // the file it runs: of a script, its interpreter
	UID  int    // whose the socket is
	User string // the name of that

	Cgroup    string // the path
	Container string // its manager and its name there, as in "docker 0123456789ab"
	Unit      string // the unit of systemd, as in "ssh.service"
}

// WithProcess returns a copy of c with the program behind it.
func (c *Conn) WithProcess(p *Process) *Conn {
	d := *c
	d.Process = p
	return &d
}
