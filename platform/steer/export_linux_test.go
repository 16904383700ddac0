package steer

import "log/slog"

// OpenLegacy is OpenIPTables where there are only the programs of the old kind.
func OpenLegacy(log *slog.Logger) (*IPTables, error) { return openIPTables(log, "-legacy") }
