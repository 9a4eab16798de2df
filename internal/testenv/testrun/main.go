// Command testrun is what `make test` and `make tools` run: it gets the
// programs that tests need, starts the servers that all test packages share,
// runs `go test` and judges its outcome.
//
//	testrun tools            install what tests need
//	testrun tools lint bench install what linting and benchmarks need, too
//	testrun test [ARG...]    run go test -race ARG... (default ./...)
//
// It works as root and as a user who may use sudo, with and without a
// terminal, and writes plain lines.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"callvault/internal/testenv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(),
		os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "testrun:", err)
		os.Exit(1)
	}
}

// run does what the arguments ask for.
func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say tools or test")
	}
	command, args := args[0], args[1:]
	switch command {
	case "tools":
		return installTools(ctx, append([]string{"test"}, args...))
	case "test":
		return test(ctx, args)
	default:
		return fmt.Errorf("unknown command %q: say tools or test", command)
	}
}

// test gets the tools, starts the shared servers, runs go test and stops the
// servers, whatever came of it.
func test(ctx context.Context, args []string) error {
	if err := installTools(ctx, []string{"test"}); err != nil {
		return err
	}
	postgres, err := testenv.StartPostgres(ctx, testenv.PostgresOptions{})
	if err != nil {
		return err
	}
	minio, err := testenv.StartMinIO(ctx)
	if err != nil {
		return errors.Join(err, postgres.Close())
	}
	err = goTest(ctx, args,
		testenv.PostgresVariable+"="+postgres.DSN(),
		testenv.MinIOVariable+"="+minio.Address())
	return errors.Join(err, minio.Close(), postgres.Close())
}
