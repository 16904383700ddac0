package owner

import (
	"os"
	"os/user"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"transom/flow"
)

const (
	keptMost   = 4096 // names of users, seats, recent processes that are kept
	recentMost = 4    // processes of one cgroup and user that are asked first
)

// A finder looks for processes, with the rights of this one. It is for one goroutine.
//
// What is asked at one time is looked for at one time: a process that has ten thousand
// files open takes ten milliseconds to look through, and in these it makes a hundred
// connections more.
type finder struct {
	charter Charter
	sockets sockets
	cgroups *cgroups
	users   map[int]string
	seats   map[uint32]seat         // by inode
	recent  map[kin][recentMost]int // the processes that had sockets last, 0 for none
	budget  budget
	all     bool   // processes of all users can be looked at
	stopped int    // the process at which there was no time left, 0 for none
	room    []byte // for directories
	text    []byte // for files
}

// A seat is where a socket was found. UDP ones have many conversations.
type seat struct {
	pid int
	fd  string // with the zero that ends it
}

// kin are processes that one may take for another at first.
type kin struct {
	cgroup uint64
	uid    int
}

// newFinder takes over the socket to ask for others by.
func newFinder(c Charter, fd int) *finder {
	f := &finder{
		charter: c, sockets: sockets{fd: fd}, cgroups: openCgroups(),
		users: map[int]string{}, seats: map[uint32]seat{}, recent: map[kin][recentMost]int{},
		room: make([]byte, 32<<10), text: make([]byte, 4*textMost),
	}
	f.budget = budget{lookMost, time.Now()}
	if t, err := openTable(1); err == nil { // the system's first process is root's
		t.close()
		f.all = true
	}
	return f
}

func (f *finder) close() {
	f.cgroups.close()
	_ = unix.Close(f.sockets.fd) // nothing is on its way
}

// A search is for the answers to one batch.
type search struct {
	f      *finder
	tell   func(*answer)
	open   map[uint32][]*sought // what is looked for, by inode
	looked map[int]bool         // processes that were looked at
	said   map[int]flow.Process // what is known of processes, by pid
	last   int                  // the one that was looked at last
	over   time.Duration        // by processorTime
}

// What is sought is a process.
type sought struct {
	answer
	held
	of *question
}

// find tells an answer to each question, once.
func (f *finder) find(qs []question, tell func(*answer)) {
	s := &search{f: f, tell: tell, open: map[uint32][]*sought{}, looked: map[int]bool{}, said: map[int]flow.Process{}}
	f.budget.grow(time.Now())
	began := processorTime()
	s.over = began + f.budget.left
	defer func() { f.budget.left -= processorTime() - began }()
	for i := range qs {
		s.begin(uint16(i), &qs[i])
	}
	done := s.seated() && s.recently() && s.there() && s.inCgroups() && s.there() && s.everywhere()
	for _, all := range s.open {
		for _, w := range all {
			if !done {
				w.known |= behind
			}
			tell(&w.answer)
		}
	}
}

// begin asks the kernel for a socket.
func (s *search) begin(index uint16, q *question) {
	w := &sought{answer: answer{index: index}, of: q}
	var err error = errNone
	if s.f.charter.allows(q) {
		w.held, err = s.f.sockets.lookUp(q)
	}
	if err != nil {
		s.tell(&w.answer)
		return
	}
	w.known = known
	if s.f.charter.Person != nil {
		w.uid = *s.f.charter.Person
	}
	w.process = flow.Process{UID: w.uid, User: s.f.user(w.uid), Cgroup: s.f.cgroups.path(w.cgroup)}
	if !s.f.all && s.f.charter.Person == nil && w.uid != os.Getuid() {
		s.tell(&w.answer) // nothing more is to be seen
		return
	}
	s.open[w.inode] = append(s.open[w.inode], w)
}

// Each of the following looks in some place for what is still open. They return false
// when there is no time left.

// seated looks where the same socket was before.
func (s *search) seated() bool {
	for inode := range s.open {
		at, ok := s.f.seats[inode]
		if !ok {
			continue
		}
		if t, err := openTable(at.pid); err == nil {
			if t.socket([]byte(at.fd)) == inode {
				s.found(inode, at, t)
			}
			t.close()
		}
	}
	return true
}

// recently looks at the processes that had sockets last.
func (s *search) recently() bool {
	for _, all := range s.open {
		list := s.f.recent[kin{all[0].cgroup, all[0].uid}]
		if !s.lookAt(list[:]) {
			return false
		}
	}
	return true
}

// there gives up what has been closed meanwhile: it would be looked for to the end, and
// in vain.
func (s *search) there() bool {
	for inode, all := range s.open {
		if h, err := s.f.sockets.lookUp(all[0].of); err == nil && h.inode == inode {
			continue
		}
		for _, w := range all {
			s.tell(&w.answer)
		}
		delete(s.open, inode)
	}
	return true
}

// inCgroups looks at the processes in the cgroups that the sockets were made in.
func (s *search) inCgroups() bool {
	asked := map[uint64]bool{}
	for _, all := range s.open {
		if asked[all[0].cgroup] {
			continue
		}
		asked[all[0].cgroup] = true
		if !s.lookAt(s.f.cgroups.members(s.f.cgroups.path(all[0].cgroup))) {
			return false
		}
	}
	return true
}

// everywhere goes on where the last one had no time left: else it would never get to
// the end.
func (s *search) everywhere() bool {
	if len(s.open) == 0 {
		return true
	}
	pids := processes()
	i := max(slices.IndexFunc(pids, func(pid int) bool { return pid < s.f.stopped }), 0)
	s.last = s.f.stopped
	inTime := s.lookAt(slices.Concat(pids[i:], pids[:i]))
	s.f.stopped = 0
	if !inTime {
		s.f.stopped = s.last
	}
	return inTime
}

// lookAt looks at processes that have not been looked at.
func (s *search) lookAt(pids []int) bool {
	for _, pid := range pids {
		if pid == 0 || s.looked[pid] {
			continue
		}
		if len(s.open) == 0 {
			return true
		}
		if processorTime() > s.over {
			return false
		}
		s.looked[pid], s.last = true, pid
		t, err := openTable(pid)
		if err != nil {
			continue // it is gone, or not for us to see
		}
		inTime := t.each(s.f.room, s.over, func(fd []byte, inode uint32) bool {
			if s.open[inode] != nil {
				s.found(inode, seat{pid, string(fd)}, t)
			}
			return len(s.open) > 0
		})
		t.close()
		if !inTime {
			return false
		}
	}
	return true
}

// found answers what was asked of a socket.
func (s *search) found(inode uint32, at seat, t table) {
	f := s.f
	f.seats[roomFor(f.seats, keptMost, inode)] = at
	for _, w := range s.open[inode] {
		s.describe(&w.process, at.pid, t)
		s.tell(&w.answer)
	}
	of := s.open[inode][0]
	if f.cgroups.path(of.cgroup) == "" {
		f.cgroups.learn(of.process.Cgroup) // if it is the same one it is known next time
	}
	k := kin{of.cgroup, of.uid}
	list := f.recent[roomFor(f.recent, keptMost, k)]
	i := slices.Index(list[:], at.pid)
	if i < 0 {
		i = recentMost - 1
	}
	copy(list[1:i+1], list[:i])
	list[0] = at.pid
	f.recent[k] = list
	delete(s.open, inode)
}

// describe says which program a process is. It is asked once in a batch.
func (s *search) describe(p *flow.Process, pid int, t table) {
	said, ok := s.said[pid]
	if !ok {
		said.Cgroup = p.Cgroup
		t.describe(&said, s.f.text)
		s.said[pid] = said
	}
	p.PID, p.Name, p.Path = pid, said.Name, said.Path
	if p.Cgroup == "" || p.Cgroup == "/" {
		p.Cgroup = said.Cgroup
	}
}

// user is the name of a user, "" if there is none.
func (f *finder) user(uid int) string {
	if name, ok := f.users[uid]; ok {
		return name
	}
	name := ""
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		name = u.Username
	}
	f.users[roomFor(f.users, keptMost, uid)] = name
	return name
}
