package view

import (
	"mime"
	"net/url"
	"strings"

	"github.com/bufbuild/protocompile/linker"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A Schema says what messages and methods of protobuf are called and made of.
// It never changes; nil knows of none.
type Schema struct {
	messages   map[protoreflect.FullName]protoreflect.MessageDescriptor
	methods    map[string]protoreflect.MethodDescriptor // as pkg.Service/Method
	extensions map[extended]protoreflect.FieldDescriptor
}

// An extended is a field that a message was given elsewhere.
type extended struct {
	message protoreflect.FullName
	number  protoreflect.FieldNumber
}

// add takes in what a file declares.
func (s *Schema) add(f linker.File) {
	s.addMessages(f.Messages())
	s.addExtensions(f.Extensions())
	for i := range f.Services().Len() {
		service := f.Services().Get(i)
		for j := range service.Methods().Len() {
			m := service.Methods().Get(j)
			s.methods[string(service.FullName())+"/"+string(m.Name())] = m
		}
	}
}

func (s *Schema) addMessages(all protoreflect.MessageDescriptors) {
	for i := range all.Len() {
		m := all.Get(i)
		s.messages[m.FullName()] = m
		s.addMessages(m.Messages())
		s.addExtensions(m.Extensions())
	}
}

func (s *Schema) addExtensions(all protoreflect.ExtensionDescriptors) {
	for i := range all.Len() {
		x := all.Get(i)
		s.extensions[extended{x.ContainingMessage().FullName(), x.Number()}] = x
	}
}

// message returns what a body of protobuf is: its Content-Type may say, as in
// "application/x-protobuf; messageType=shop.Cart", else the method does that
// was called, as in "/shop.Carts/Get", perhaps below a prefix. nil is unknown.
func (s *Schema) message(a About) protoreflect.MessageDescriptor {
	if s == nil {
		return nil
	}
	if _, params, err := mime.ParseMediaType(a.Type); err == nil {
		for _, name := range []string{"messagetype", "proto", "message", "type"} {
			if m := s.messages[protoreflect.FullName(strings.TrimPrefix(params[name], "."))]; m != nil {
				return m
			}
		}
	}
	m := s.methods[methodOf(a.Target)]
	switch {
	case m == nil:
		return nil
	case a.Response:
		return m.Output()
	}
	return m.Input()
}

// named returns the message that a type URL names, as Any has it.
func (s *Schema) named(typeURL string) protoreflect.MessageDescriptor {
	if s == nil {
		return nil
	}
	return s.messages[protoreflect.FullName(typeURL[strings.LastIndexByte(typeURL, '/')+1:])]
}

// field returns a field of m, or nil.
func (s *Schema) field(m protoreflect.MessageDescriptor, n protoreflect.FieldNumber) protoreflect.FieldDescriptor {
	if f := m.Fields().ByNumber(n); f != nil {
		return f
	}
	return s.extensions[extended{m.FullName(), n}]
}

// methodOf returns the last two words of a target's path.
func methodOf(target string) string {
	if u, err := url.Parse(target); err == nil {
		target = u.Path
	}
	i := strings.LastIndexByte(target, '/')
	if i < 0 {
		return ""
	}
	return target[strings.LastIndexByte(target[:i], '/')+1:]
}
