// Command callvault receives call reports from telephony providers, archives
// the recordings and mails the day's report.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/config"

	"github.com/alecthomas/kong"
)

// version is set when a release is built: -ldflags "-X main.version=…".
var version = ""

// The exit statuses that scripts rely on.
const (
	exitDone  = 0
	exitWrong = 1 // something is wrong with what was asked for or found
	exitUsage = 2
)

// commands is the command line.
type commands struct {
	globals

	Serve       serveCommand       `cmd:"" help:"Receive, keep and tell: run everything."`
	Demo        demoCommand        `cmd:"" help:"Run everything with a simulated provider: a past day of calls arrives, its recordings are archived, its report is built and mailed."`
	Report      reportCommand      `cmd:"" help:"Build a report by hand."`
	Import      importCommand      `cmd:"" help:"Take in call reports from files as if they had been posted."`
	Replay      replayCommand      `cmd:"" help:"Read kept deliveries again, as if they came today."`
	Backfill    backfillCommand    `cmd:"" help:"Ask the providers for their call lists and take in what is missing."`
	Vault       vaultCommand       `cmd:"" help:"Copy the vault into another: from a directory to S3, back, or to another bucket."`
	Verify      verifyCommand      `cmd:"" help:"Hash and compare everything that is kept."`
	Hold        holdCommand        `cmd:"" help:"Keep calls from being deleted for a legal case."`
	Retention   retentionCommand   `cmd:"" help:"Say what is due to be deleted, and delete it."`
	Audit       auditCommand       `cmd:"" help:"Look at the log of who did and saw what, and at the key that signs it."`
	Export      exportCommand      `cmd:"" help:"Write calls with recordings and evidence into one ZIP."`
	Backup      backupCommand      `cmd:"" help:"Write a consistent copy of the SQLite database; for PostgreSQL, say how."`
	Rebuild     rebuildCommand     `cmd:"" help:"Make the database again from the vault alone."`
	Erase       eraseCommand       `cmd:"" help:"Erase what is kept under a customer's number, as far as holds and locks allow."`
	Drill       drillCommand       `cmd:"" help:"Play a provider's faults against the running installation, on accounts of its own, and say what held."`
	Config      configCommand      `cmd:"" help:"Check, print or show an example of the configuration."`
	User        userCommand        `cmd:"" help:"Manage the people who may log in."`
	Token       tokenCommand       `cmd:"" help:"Manage the bearer tokens of the API."`
	Migrate     migrateCommand     `cmd:"" help:"Bring the database's schema up to date, and say its version."`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask the running server whether it is ready; for containers."`
	Version     versionCommand     `cmd:"" help:"Say the program's version."`
}

// globals are the flags that every command takes, and the world it works in.
type globals struct {
	Config string `help:"The configuration file. Without it, callvault.yaml in the data folder is read." placeholder:"FILE"`
	Data   string `help:"The data folder: database, recordings, spool and mails (default ./callvault-data)." placeholder:"DIR"`
	JSON   bool   `name:"json" help:"Give one JSON object on standard output."`

	// command is what was asked for, as "hold place <name>".
	command string

	stdin          io.Reader
	stdout, stderr io.Writer
	environ        func() []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends at once what the first lets come to its end.
	context.AfterFunc(ctx, stop)
	status := run(ctx, os.Args[1:], &globals{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ})
	stop()
	os.Exit(status)
}

// run runs one command line and returns its exit status.
func run(ctx context.Context, args []string, world *globals) int {
	var c commands
	c.globals = *world
	ctx = audit.By(ctx, commandActor())
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("callvault"),
		kong.Description("Archives call recordings and tells managers how the day went. Documentation: docs/ in the source."),
		kong.Writers(world.stdout, world.stderr),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Exit(func(status int) { exited = status }),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		fmt.Fprintln(world.stderr, "callvault:", err)
		return exitUsage
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help has been answered
	}
	if err != nil {
		fmt.Fprintln(world.stderr, "callvault:", err)
		fmt.Fprintln(world.stderr, "Run `callvault --help` for the commands.")
		return exitUsage
	}
	c.command = parsed.Command()
	err = parsed.Run(&c.globals)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(world.stderr, "callvault: interrupted")
		return exitWrong
	}
	fmt.Fprintln(world.stderr, "callvault:", err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitWrong
}

// usageError is an error in how a command was called.
type usageError struct{ error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// load reads the configuration.
func (g *globals) load() (*config.Config, error) {
	c, err := config.Load(g.configOptions(""))
	if err != nil {
		return nil, configError(err)
	}
	return c, nil
}

func (g *globals) configOptions(listen string) config.Options {
	return config.Options{File: g.Config, Data: g.Data, Listen: listen, Environ: g.environ}
}

// configError puts a sentence before the list of faults.
func configError(err error) error {
	if _, ok := errors.AsType[config.Faults](err); ok {
		return fmt.Errorf("the configuration cannot be used:\n%w", err)
	}
	return err
}

// print writes v as JSON with --json, and otherwise what text writes.
func (g *globals) print(v any, text func(io.Writer)) error {
	if !g.JSON {
		text(g.stdout)
		return nil
	}
	e := json.NewEncoder(g.stdout)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// parseRole reads a role's name.
func parseRole(name string) (call.Role, error) {
	for _, r := range call.Roles() {
		if string(r) == name {
			return r, nil
		}
	}
	return "", usagef("there is no role %q: it is one of %v", name, call.Roles())
}
