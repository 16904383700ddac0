package nettest_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"transom/platform/lab"
)

// TestSSH has a stock ssh copy a file to and from a stock sshd with every port
// redirected.
func TestSSH(t *testing.T) {
	need(t, "sshd", "ssh-keygen", "sftp", "unshare")
	w := newWorld(t)
	w.sshd()
	w.redirect("")
	p := w.transom("--json")

	sent := make([]byte, 1<<20)
	rand.Read(sent)
	file := w.write("sent", string(sent))
	for _, f := range families {
		got := w.path("got-" + f.name)
		batch := w.write("batch", fmt.Sprintf("put %s %s\nget %[2]s %s\n", file, w.path("there-"+f.name), got))
		w.must(w.Client, "sftp", "-b", batch, "-F", "/dev/null", "-i", w.path("key"), "-o", "IdentitiesOnly=yes",
			"-o", "UserKnownHostsFile="+w.path("known"), "-o", "StrictHostKeyChecking=yes", "nobody@"+f.host)
		if b, err := os.ReadFile(got); err != nil || !bytes.Equal(b, sent) {
			t.Errorf("%s: %d bytes, %v; they are not those that were sent", f.name, len(b), err)
		}
	}
	p.stop()
	for _, r := range p.await(2, of("tcp")) {
		if r.Messages.ToServer.Bytes < 1<<20 || r.Messages.ToClient.Bytes < 1<<20 || r.Error != "" {
			t.Errorf("recorded %+v", r)
		}
	}
}

// sshd starts a stock sshd on port 22 of the server. It runs as nobody, in a
// user namespace: as root it would want users and directories of the system.
func (w *world) sshd() {
	w.t.Helper()
	if err := w.Server.Sysctl("net.ipv4.ip_unprivileged_port_start", "0"); err != nil {
		w.t.Fatal(err)
	}
	w.must(w.Server, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", w.path("key"))
	w.must(w.Server, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", w.path("host-key"))
	host := w.read(w.path("host-key.pub"))
	w.write("known", lab.ServerAddr4+" "+host+lab.ServerAddr6+" "+host)
	conf := w.write("sshd_config", fmt.Sprintf(`
HostKey %s
AuthorizedKeysFile %s
PidFile none
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
`, w.path("host-key"), w.path("key.pub")))
	cmd := w.command(w.Server, "unshare", "--user", "--map-user=65534", "--map-group=65534", find("sshd"), "-D", "-e", "-f", conf)
	log := newOutput()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("sshd logged:\n%s", log)
		}
	})
	if !log.wait(w.t, func(s string) bool { return strings.Count(s, "Server listening on") == 2 }) {
		w.t.Fatal("sshd does not listen")
	}
}

// TestSMTP has a stock client send a letter to a server that speaks first.
func TestSMTP(t *testing.T) {
	need(t, "curl")
	w := newWorld(t)
	letters := make(chan string, 2)
	w.handle(25, func(c *net.TCPConn) { smtp(c, letters) })
	w.redirect("")
	p := w.transom("--json")
	letter := w.write("letter", "Subject: hello\r\n\r\nis anybody there?\r\n")
	for _, f := range families {
		w.must(w.Client, "curl", "-sS", "--mail-from", "me@client.example", "--mail-rcpt", "you@shop.example",
			"-T", letter, "smtp://"+f.host+"/client.example")
		if got := <-letters; got != w.read(letter) {
			t.Errorf("%s: the server got %q", f.name, got)
		}
	}
	for _, r := range p.await(2, of("tcp")) {
		if r.Capture != "redirect" || r.Messages.ToClient.Count < 5 || r.Error != "" {
			t.Errorf("recorded %+v", r)
		}
	}
}

// smtp serves one connection (RFC 5321), as far as one letter needs.
func smtp(c net.Conn, letters chan<- string) {
	say := func(text string) { fmt.Fprintf(c, "%s\r\n", text) }
	say("220 shop.example is listening")
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch strings.ToUpper(line[:min(4, len(line))]) {
		case "DATA":
			say("354 go on")
			var letter strings.Builder
			for line, err = in.ReadString('\n'); err == nil && line != ".\r\n"; line, err = in.ReadString('\n') {
				letter.WriteString(line)
			}
			letters <- letter.String()
			say("250 thank you")
		case "QUIT":
			say("221 goodbye")
			return
		default:
			say("250 yes")
		}
	}
}
