package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"transom/app/view"
)

// protoFlag says in which files the messages of protobuf and gRPC are described.
type protoFlag struct{ names []string }

// add defines the flag.
func (f *protoFlag) add(fl *pflag.FlagSet) {
	fl.StringArrayVar(&f.names, "proto", nil, "show protobuf and gRPC by the schema in this `PATH`: a .proto file, a directory of them, or what protoc -o made; may be repeated")
}

// check refuses a schema that nothing would be shown by.
func (f *protoFlag) check(detail int, json bool) error {
	switch {
	case len(f.names) == 0:
		return nil
	case json:
		return errors.New("--json has bodies as they came: leave it out, or --proto")
	case detail < 3:
		return errors.New("--proto is about bodies, which are shown from --flow-detail 3 on: give that, too")
	}
	return nil
}

// read reads the schema, if there is one.
func (f *protoFlag) read() (*view.Schema, error) {
	if len(f.names) == 0 {
		return nil, nil
	}
	s, err := view.ReadSchema(f.names)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--proto: %w", err)}
	}
	return s, nil
}
