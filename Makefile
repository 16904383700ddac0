# make help lists the targets. Go, git and make are all it takes.

PREFIX  ?= /usr/local
DESTDIR ?=
GO      ?= go

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

# Systems besides this one that make lint has to find nothing wrong for.
TARGETS := linux/amd64 linux/arm64 darwin/arm64 freebsd/amd64 openbsd/amd64

# What make bench runs, and how often.
BENCH     ?= .
BENCHTIME ?= 1s
COUNT     ?= 1
# Flags of the load; go run ./internal/bench -help lists them.
LOAD      ?=

.DELETE_ON_ERROR:
.PHONY: all build shim demo test bench load lint vet staticcheck gofumpt cross install completions unit uninstall service clean help

all: build

build: ## build bin/transom, one static binary (the default)
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/transom ./cmd/transom

shim: ## build bin/transom-shim, the launcher; docs/shim.md says who needs it
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '-s -w' -o bin/transom-shim ./cmd/transom-shim

demo: build ## show it work: a device, a gateway and a web server in private namespaces
	./bin/transom demo

test: ## run the tests; TESTFLAGS go to go test, RACE=1 adds a run under the race detector
	$(GO) run ./internal/testreport -count=1 $(TESTFLAGS) ./...

bench: build ## run the benchmarks (BENCH=regexp, BENCHTIME=1s, COUNT=1), then a load in namespaces (LOAD=flags)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -count $(COUNT) -benchmem -p 1 ./...
	$(GO) run ./internal/bench -transom bin/transom $(LOAD)

load: build ## the load alone: transom beside plain forwarding, HAProxy and net/http
	$(GO) run ./internal/bench -transom bin/transom $(LOAD)

lint: vet staticcheck gofumpt cross ## go vet, staticcheck, gofumpt, and go vet for the other systems

vet:
	$(GO) vet ./...

staticcheck:
	$(GO) tool staticcheck ./...

gofumpt:
	@files=$$($(GO) tool gofumpt -l $$(git ls-files --cached --others --exclude-standard '*.go' ':!:*/testdata/*')) || exit 1; \
	if [ -n "$$files" ]; then echo "not formatted; run: go tool gofumpt -w FILE" >&2; echo "$$files" >&2; exit 1; fi

cross: $(TARGETS:%=cross/%)

cross/%:
	GOOS=$(word 1,$(subst /, ,$*)) GOARCH=$(word 2,$(subst /, ,$*)) CGO_ENABLED=0 $(GO) vet ./...

# Root's PATH may lack Go, as under sudo: then what "make" has built is installed.
install: $(if $(shell command -v $(GO)),build) completions unit ## install program, man pages, completions and, on Linux, systemd's unit to PREFIX (/usr/local), below DESTDIR
	mkdir -p '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/man/man1'
	install -m 755 bin/transom '$(DESTDIR)$(PREFIX)/bin/transom'
	install -m 644 packaging/man/*.1 '$(DESTDIR)$(PREFIX)/share/man/man1'

# Completions are written by a program for this machine, whichever is installed.
SELF = $(shell ./bin/transom version >/dev/null 2>&1 && echo ./bin/transom || echo GOOS= GOARCH= $(GO) run -buildvcs=false ./cmd/transom)
BASH := share/bash-completion/completions/transom
ZSH  := share/zsh/site-functions/_transom
FISH := share/fish/vendor_completions.d/transom.fish
UNIT := lib/systemd/system/transom.service

completions:
	mkdir -p $(patsubst %,'$(DESTDIR)$(PREFIX)/%',$(dir $(BASH) $(ZSH) $(FISH)))
	$(SELF) completion bash >'$(DESTDIR)$(PREFIX)/$(BASH)'
	$(SELF) completion zsh >'$(DESTDIR)$(PREFIX)/$(ZSH)'
	$(SELF) completion fish >'$(DESTDIR)$(PREFIX)/$(FISH)'

unit:
	case "$$($(GO) env GOOS 2>/dev/null || uname)" in [lL]inux) mkdir -p '$(DESTDIR)$(PREFIX)/lib/systemd/system' && \
	sed 's,/usr/local,$(PREFIX),' packaging/systemd/transom.service >'$(DESTDIR)$(PREFIX)/$(UNIT)';; esac

uninstall: ## remove what install put there
	cd '$(DESTDIR)$(PREFIX)' && rm -f bin/transom $(BASH) $(ZSH) $(FISH) $(UNIT)
	cd packaging/man && for page in *.1; do rm -f '$(DESTDIR)$(PREFIX)/share/man/man1'/$$page; done

service: unit ## install what else the unit needs, below DESTDIR: a user, directories, options; docs/service.md
	mkdir -p '$(DESTDIR)/usr/lib/sysusers.d' '$(DESTDIR)/usr/lib/tmpfiles.d' '$(DESTDIR)/etc/transom'
	install -m 644 packaging/systemd/sysusers.conf '$(DESTDIR)/usr/lib/sysusers.d/transom.conf'
	install -m 644 packaging/systemd/tmpfiles.conf '$(DESTDIR)/usr/lib/tmpfiles.d/transom.conf'
	[ -e '$(DESTDIR)/etc/transom/gateway.conf' ] || install -m 644 packaging/systemd/gateway.conf '$(DESTDIR)/etc/transom/gateway.conf'

clean: ## remove what was built
	rm -rf bin

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r target what; do printf '  make %-10s %s\n' "$$target" "$$what"; done
