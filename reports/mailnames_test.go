package reports

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/testenv"
)

func TestNamesKeepTheirDirection(t *testing.T) {
	t.Parallel()
	const fsi, pdi = "\u2068", "\u2069"
	for name, want := range map[string]string{
		"Asha Rao": "Asha Rao", "Zoë": "Zoë", "दीपा नायर": "दीपा नायर", "😀": "😀", "": "–",
		"فاطمہ خان": fsi + "فاطمہ خان" + pdi, "דנה (2)": fsi + "דנה (2)" + pdi,
		// What would turn round the rest of the line is taken out, what is part
		// of the writing stays.
		"a\u202Egnp.exe": "agnp.exe", "\u2066Asha": "Asha", pdi + "דנה": fsi + "דנה" + pdi,
		"Eve\r\nBcc: x\u2029y": "Eve Bcc: x y", "دنا\u200F!": fsi + "دنا\u200F!" + pdi,
		"a\x00b": "a\uFFFDb",
	} {
		if got := isolate(nameOf(name)); got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
	if got := nameOf(strings.Repeat("é", 40_000)); len([]rune(got)) != longestName || !strings.HasSuffix(got, "…") {
		t.Errorf("a name of 40,000 characters is %q", got)
	}
}

// The same names, whole, in both forms, whatever their script.
func TestNamesOfAllScriptsInMail(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	o.store.calls[1].Agent = call.Agent{ID: "1", Name: "فاطمہ خان"}
	o.store.calls[1].Group = "מכירות"
	o.store.calls[2].Agent = call.Agent{ID: "2", Name: "Zoë 😀 दीपा"}
	o.reporter(t, MailOptions{From: "Späher <reports@example.org>"}, "ops@example.org").Look(context.Background())
	content, err := os.ReadFile(o.store.mails[0].Detail)
	if err != nil {
		t.Fatal(err)
	}
	header, parts := testenv.ReadMail(t, content)
	from, err := header.AddressList("From")
	if err != nil || from[0].Name != "Späher" {
		t.Errorf("from %v, %v", from, err)
	}
	for name, value := range header {
		for _, r := range strings.Join(value, "") {
			if r > 0x7E {
				t.Errorf("header %s has %q as it is", name, r)
			}
		}
	}
	text, html := string(parts["text/plain"]), string(parts["text/html"])
	for _, want := range []string{"\u2068فاطمہ خان\u2069 (\u2068מכירות\u2069): ", "Zoë 😀 दीपा ("} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	for _, want := range []string{"فاطمہ خان", "מכירות", "Zoë 😀 दीपा"} {
		if !strings.Contains(html, `<span dir="auto">`+want+`</span>`) {
			t.Errorf("the HTML lacks %q", want)
		}
	}
}

// Of many agents the mail has both ends, of few all.
func TestBothEndsOfTheAgents(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		agents, listed int
		leftOut        string
	}{{3, 3, ""}, {fewAgents, fewAgents, ""}, {fewAgents + 1, 10, "3 more in the workbook"}, {1_210, 10, "1,200 more in the workbook"}} {
		f := &Figures{Settings: Settings{Formats: []Format{XLSX}}}
		for i := range test.agents {
			f.Agents = append(f.Agents, &AgentFigures{Agent: call.Agent{Name: fmt.Sprint("agent ", i+1)}, First: time.Unix(1, 0)})
		}
		f.Agents = append(f.Agents, &AgentFigures{Agent: call.Agent{Name: "on holiday"}})
		p := new(mailPage)
		f.addAgents(p)
		var names []string
		leftOut := ""
		for _, a := range p.Agents {
			if a.LeftOut != "" {
				leftOut = a.LeftOut
				continue
			}
			names = append(names, a.Name)
		}
		if len(names) != test.listed || leftOut != test.leftOut || names[0] != "agent 1" || names[len(names)-1] != fmt.Sprint("agent ", test.agents) {
			t.Errorf("of %d agents: %q, left out %q", test.agents, names, leftOut)
		}
	}
}
