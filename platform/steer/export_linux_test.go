package steer

import "log/slog"

// OpenLegacy is OpenIPTables where there are only the programs of the old kind,
// which lock a file that is root's unless they are told of another.
func OpenLegacy(log *slog.Logger, lock string) (*IPTables, error) {
	return openIPTables(log, []string{"XTABLES_LOCKFILE=" + lock}, "-legacy")
}

// Tend looks now what is missing of what is in force.
func (k *Kernel) Tend() { k.tend() }

// Tend looks now what is missing of what is in force.
func (x *IPTables) Tend() { x.tend() }

// Poke has it looked as if something had been heard. Who looks then waits as long as it
// has to before it looks again, which who calls Tend does not.
func (x *IPTables) Poke() { x.poke() }
