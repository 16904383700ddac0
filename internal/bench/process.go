package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat, the same on all architectures
// that we build for.
const tick = 10 * time.Millisecond

// processorTime returns the time that a process and its descendants have spent
// on a processor: to the nanosecond if the kernel counts so, without threads
// that have ended, which here are none to speak of.
func processorTime(pid int) (time.Duration, error) {
	exact := true
	if _, err := os.Stat("/proc/self/schedstat"); err != nil {
		exact = false
	}
	return sum(pid, func(pid int) (time.Duration, error) {
		if exact {
			return scheduled(pid)
		}
		return ticked(pid)
	})
}

// scheduled adds up the first number of each thread's schedstat.
func scheduled(pid int) (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	total := time.Duration(0)
	for _, file := range tasks {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 {
			continue // it ended
		}
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		total += time.Duration(ns)
	}
	return total, nil
}

// ticked adds utime, stime, cutime and cstime, fields 14 to 17 of stat. Field 2
// is a name in parentheses, which may hold anything.
func ticked(pid int) (time.Duration, error) {
	file := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return 0, fmt.Errorf("%s: not as expected: %q", file, text)
	}
	total := time.Duration(0)
	for _, field := range fields[11:15] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		total += time.Duration(n) * tick
	}
	return total, nil
}

// residentBytes returns the memory that a process and its descendants have in
// use, as their VmRSS.
func residentBytes(pid int) (int64, error) {
	return sum(pid, func(pid int) (int64, error) { return memory(pid, "VmRSS") })
}

// memory returns a figure of /proc/PID/status: VmRSS, or VmHWM, the most that it was.
func memory(pid int, figure string) (int64, error) {
	file := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "\n"+figure+":")
	value, _, found := strings.Cut(rest, " kB\n")
	if !found {
		return 0, fmt.Errorf("%s: no %s", file, figure)
	}
	kb, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return kb << 10, nil
}

// sum adds what of returns for a process and its descendants.
func sum[T time.Duration | int64](pid int, of func(pid int) (T, error)) (T, error) {
	total, err := of(pid)
	if err != nil {
		return 0, err
	}
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return 0, err
	}
	for _, file := range lists {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread ended
		}
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", file, err)
			}
			n, err := sum(child, of)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	return total, nil
}
