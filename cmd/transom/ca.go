package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"transom/ca"
)

func caCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Show and export the certificate authority, and have this machine trust it",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("what to do with the authority? known are: show, export, trust, untrust, check")
		},
	}
	cmd.AddCommand(caShowCommand(), caExportCommand(), caTrustCommand(), caUntrustCommand(), caCheckCommand())
	return cmd
}

func caShowCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Describe the authority that signs for servers",
		Args:  noArguments,
	}
	addCADir(cmd.Flags(), &dir)
	cmd.RunE = running(func(cmd *cobra.Command, _ []string) error {
		a, err := ownAuthority(dir)
		if err != nil {
			return err
		}
		tellMade(cmd.ErrOrStderr(), a)
		return showAuthority(cmd.OutOrStdout(), a.Info())
	})
	return cmd
}

func showAuthority(w io.Writer, i ca.Info) error {
	const day = "2006-01-02"
	_, err := fmt.Fprintf(w, `name     %s
subject  %s
key      %s
valid    %s to %s
sha256   %s
sha1     %s
serial   %s
file     %s
`, i.Name, i.Subject, i.Key, i.NotBefore.Format(day), i.NotAfter.Format(day), i.SHA256, i.SHA1, i.Serial, i.Path)
	return err
}

func caExportCommand() *cobra.Command {
	var dir, format, out string
	formats, uses := ca.Formats()
	var list strings.Builder
	for _, f := range formats {
		fmt.Fprintf(&list, "  %-13s %s\n", f, uses[f])
	}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the authority's certificate in the form a device wants",
		Long: `export writes the authority's certificate, never its key. Formats:

` + list.String() + `
Without -o it goes to stdout; with -o DIR/ it gets the name that devices expect.`,
		Example: `  transom ca export > transom-ca.pem
  transom ca export --format android -o ./`,
		Args: noArguments,
	}
	addCADir(cmd.Flags(), &dir)
	cmd.Flags().StringVarP(&format, "format", "f", string(ca.PEM), "which `FORM`, of those above")
	cmd.Flags().StringVarP(&out, "output", "o", "", "`FILE` or directory/ to write to")
	cmd.RunE = running(func(cmd *cobra.Command, _ []string) error {
		f, err := ca.ParseFormat(format)
		if err != nil {
			return &usageError{err}
		}
		a, err := ownAuthority(dir)
		if err != nil {
			return err
		}
		tellMade(cmd.ErrOrStderr(), a)
		file, err := a.Export(f)
		if err != nil {
			return err
		}
		return writeExport(cmd, file, out)
	})
	return cmd
}

// writeExport writes to stdout, to a file, or into a directory.
func writeExport(cmd *cobra.Command, file ca.File, out string) error {
	if out == "" || out == "-" {
		_, err := cmd.OutOrStdout().Write(file.Data)
		return err
	}
	if info, err := os.Stat(out); strings.HasSuffix(out, "/") || err == nil && info.IsDir() {
		out = filepath.Join(out, file.Name)
	}
	if err := os.WriteFile(out, file.Data, 0o644); err != nil {
		return fmt.Errorf("write the certificate: %w", err)
	}
	_, err := fmt.Fprintln(cmd.ErrOrStderr(), "transom: wrote", out)
	return err
}

func addCADir(fl *pflag.FlagSet, dir *string) {
	fl.StringVar(dir, "ca-dir", "", "`DIR` of the authority; mitmproxy's works as it is (default: "+defaultCADirText+")")
}

const defaultCADirText = "$XDG_CONFIG_HOME/transom/ca"

// tellMade says so if there was no authority before.
func tellMade(w io.Writer, a *ca.Authority) {
	if i := a.Info(); i.Made {
		fmt.Fprintln(w, "transom: there was no certificate authority; made a new one:", i.Path)
	}
}

// ownAuthority opens the authority for a command that does nothing else with
// it.
func ownAuthority(dir string) (*ca.Authority, error) {
	r, err := rightsFor("", slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return openAuthority(dir, r)
}

// authorityDir is dir, or if that is "" the place of whoever started us.
func authorityDir(dir string, r *rights) (string, error) {
	if dir != "" {
		return dir, nil
	}
	config, err := r.configDir()
	if err != nil {
		return "", usagef("no place for the authority: %w; name one with --ca-dir", err)
	}
	return filepath.Join(config, "transom", "ca"), nil
}

// openAuthority opens the authority in dir, or makes it; "" is the place of
// whoever started us: under sudo it is the caller's, so that a person has one,
// however transom is started.
func openAuthority(dir string, r *rights) (a *ca.Authority, err error) {
	if slices.Contains(os.Environ(), inside) {
		return nil, errors.New("inside transom run the authority's key is hidden: do this outside of it")
	}
	if dir, err = authorityDir(dir, r); err != nil {
		return nil, err
	}
	err = r.asUser(func() error {
		a, err = ca.Open(dir, ca.Options{})
		return err
	})
	return a, err
}
