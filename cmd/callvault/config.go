package main

import (
	"errors"
	"fmt"
	"io"

	"callvault/internal/config"
)

type configCommand struct {
	Check   configCheck   `cmd:"" help:"Say all that is wrong with the configuration, each with file, line and key."`
	Print   configPrint   `cmd:"" help:"Print the configuration in effect, secrets masked."`
	Example configExample `cmd:"" help:"Print an example with every key explained."`
	Mapping configMapping `cmd:"" help:"Print a mapping that is part of the program, to start one's own from; without a name, list them."`
}

type configCheck struct {
	Sample  string `help:"Say what is made of the reports in this file: each fact, and where it was found; - is standard input." placeholder:"FILE"`
	Account string `help:"Whose reports they are; need not be given if there is but one account." placeholder:"NAME"`
	Mapping string `help:"Read them by this mapping instead, shipped or a file; no account is needed." placeholder:"NAME|FILE"`
}

// Run checks the configuration.
func (k configCheck) Run(g *globals) error {
	switch {
	case k.Account != "" && k.Mapping != "":
		return usagef("--account and --mapping cannot both be given")
	case k.Sample != "":
		account, err := k.sampleAccount(g)
		if err != nil {
			return err
		}
		return explainSample(g, account, k.Sample)
	case k.Account != "" || k.Mapping != "":
		return usagef("--account and --mapping are for --sample")
	}
	c, err := config.Load(g.configOptions(""))
	var faults config.Faults
	if err != nil && !errors.As(err, &faults) {
		return err
	}
	result := struct {
		OK      bool           `json:"ok"`
		File    string         `json:"file"`
		Faults  []config.Fault `json:"faults"`
		Notices []config.Fault `json:"notices"`
	}{OK: err == nil, Faults: faults, Notices: []config.Fault{}}
	if result.Faults == nil {
		result.Faults = []config.Fault{}
	}
	if c != nil {
		result.File = c.File
		result.Notices = append(result.Notices, c.Notices...)
	}
	printErr := g.print(result, func(w io.Writer) {
		for _, n := range result.Notices {
			fmt.Fprintln(w, "note:", n)
		}
		if result.OK {
			fmt.Fprintln(w, "The configuration is good.", readFrom(c))
		}
	})
	if printErr != nil {
		return printErr
	}
	if err != nil {
		return configError(err)
	}
	return nil
}

func readFrom(c *config.Config) string {
	if c.File == "" {
		return "(There is no file: defaults and the environment.)"
	}
	return "(" + c.File + ")"
}

type configPrint struct{}

// Run prints the configuration in effect.
func (configPrint) Run(g *globals) error {
	c, err := g.load()
	if err != nil {
		return err
	}
	return c.Print(g.stdout)
}

type configExample struct{}

// Run prints the example.
func (configExample) Run(g *globals) error {
	_, err := io.WriteString(g.stdout, config.Example())
	return err
}

type configMapping struct {
	Name string `arg:"" optional:"" help:"The mapping."`
}

// Run prints a mapping, or lists them.
func (k configMapping) Run(g *globals) error {
	if k.Name != "" {
		return config.PrintMapping(g.stdout, k.Name)
	}
	result := struct {
		Mappings []string `json:"mappings"`
	}{config.Shipped()}
	return g.print(result, func(w io.Writer) {
		for _, name := range result.Mappings {
			fmt.Fprintln(w, name)
		}
	})
}
