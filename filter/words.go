package filter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"unicode"
	"unicode/utf8"

	"transom/flow"
	"transom/message"
)

// MaxText bounds what of a body is searched for words, decoded.
const MaxText = 64 << 10

// maxWord bounds what is looked at of a word: longer ones with the same beginning
// are the same.
const maxWord = 64

// maxWords is how many words one operator may ask for.
const maxWords = 64

// looksBinary bounds where a zero byte says that something is no text.
const looksBinary = 1 << 10

// Words yields the words of a text, in lower case: letters and digits of whatever
// script that stand together. It gives the same memory each time. What has a zero byte
// near its beginning is no text.
func Words(text []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if bytes.IndexByte(text[:min(len(text), looksBinary)], 0) >= 0 {
			return
		}
		var store [maxWord + utf8.UTFMax]byte
		word := store[:0]
		for i := 0; i < len(text); {
			c, size := rune(text[i]), 1
			letter := false
			switch {
			case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
				letter = true
			case 'A' <= c && c <= 'Z':
				letter, c = true, c|0x20
			case c >= utf8.RuneSelf:
				c, size = utf8.DecodeRune(text[i:])
				letter = unicode.IsLetter(c) || unicode.IsNumber(c) || unicode.IsMark(c)
				c = unicode.ToLower(c)
			}
			i += size
			switch {
			case letter && len(word) < maxWord:
				word = utf8.AppendRune(word, c)
			case !letter && len(word) > 0:
				if !yield(word) {
					return
				}
				word = word[:0]
			}
		}
		if len(word) > 0 {
			yield(word)
		}
	}
}

// wordsOf reads words, all of which one body has to have.
func wordsOf(arg string) (*test, error) {
	t := &test{}
	for w := range Words([]byte(arg)) {
		if !slices.Contains(t.words, string(w)) {
			t.words = append(t.words, string(w))
		}
	}
	switch {
	case len(t.words) > maxWords:
		return nil, fmt.Errorf("these are %d words, and %d are the limit", len(t.words), maxWords)
	case t.words == nil:
		return nil, errors.New("there is no word in it: words are letters and digits. ~b finds the rest")
	}
	t.decides = func(s *subject) bool { return s.hasWords(t.words) }
	return t, nil
}

// hasWords reports whether one of the bodies has all words.
func (s *subject) hasWords(words []string) bool {
	if d := s.dns(); d != nil {
		return d.Query != nil && hasAll(s.said(d.Query), words) || d.Answer != nil && hasAll(s.said(d.Answer), words)
	}
	if s.bodies == nil {
		return false
	}
	for t, err := range BodyTexts(s.ctx, s.Flow, s.bodies) {
		if err != nil {
			return s.fail(err)
		}
		if hasAll(t.Text, words) {
			return true
		}
	}
	return false
}

func hasAll(text []byte, words []string) bool {
	var found uint64
	left := len(words)
	for w := range Words(text) {
		for i := range words {
			if string(w) == words[i] && found&(1<<i) == 0 {
				found |= 1 << i
				left--
			}
		}
		if left == 0 {
			return true
		}
	}
	return false
}

// A BodyText is what is searched for words in a body.
type BodyText struct {
	Number   uint64 // the segment of its BodyRef
	Text     []byte // its beginning, without its content coding; of messages one a line
	Complete bool   // it is all that operators for bodies search
}

// BodyTexts yields what is searched for words in the bodies or messages of a flow, of
// which something is kept.
func BodyTexts(ctx context.Context, f *flow.Flow, bodies Bodies) iter.Seq2[BodyText, error] {
	return func(yield func(BodyText, error) bool) {
		s := subject{Flow: f, ctx: ctx, bodies: bodies}
		switch d := f.Detail.(type) {
		case *flow.Messages:
			if d.Log.Kept > 0 {
				yield(s.logText(d))
			}
		case *flow.HTTP:
			for of, ref := range []flow.BodyRef{d.RequestBody, d.ResponseBody} {
				if ref.Kept > 0 && !yield(s.bodyText(ref, side(of))) {
					return
				}
			}
		}
	}
}

func (s *subject) bodyText(ref flow.BodyRef, of side) (BodyText, error) {
	h, _ := s.fields(of)
	data, err := s.decoded(ref, h, MaxText+1)
	if err != nil {
		return BodyText{}, err
	}
	return BodyText{Number: ref.Segment, Text: data[:min(len(data), MaxText)], Complete: len(data) <= MaxText}, nil
}

// logText puts messages together, a line each, up to the bound.
func (s *subject) logText(m *flow.Messages) (BodyText, error) {
	r, err := s.bodies.OpenBody(s.ctx, m.Log)
	if err != nil {
		return BodyText{}, err
	}
	defer r.Close()
	t := BodyText{Number: m.Log.Segment, Complete: true}
	for e, err := range message.ReadLog(io.Reader(r)) {
		if err != nil {
			return t, err
		}
		if m.Kind == "websocket" && e.Op > 2 {
			continue
		}
		n := min(len(e.Payload), MaxText-len(t.Text))
		t.Text = append(append(t.Text, e.Payload[:n]...), '\n')
		if n < len(e.Payload) || len(t.Text) >= MaxText {
			t.Text, t.Complete = t.Text[:min(len(t.Text), MaxText)], false
			break
		}
	}
	return t, nil
}
