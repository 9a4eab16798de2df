package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
	"callvault/internal/watch"
	"callvault/reports"
	"callvault/webhook"

	"github.com/prometheus/client_golang/prometheus"
)

// This file says in the words of each room what the configuration says.

func webhookAccounts(c *config.Config) []webhook.Account {
	accounts := make([]webhook.Account, len(c.Accounts))
	for i, a := range c.Accounts {
		accounts[i] = webhook.Account{
			Name:             a.Name,
			Provider:         call.Provider(a.Provider),
			Token:            a.Token.Reveal(),
			OldToken:         a.OldToken.Reveal(),
			Zone:             a.TimeZone.Location,
			Region:           a.Region,
			AllowFrom:        a.AllowFrom,
			Rate:             a.Rate.PerSecond,
			Burst:            a.Rate.Burst,
			OutgoingCustomer: webhook.OutgoingCustomer(a.OutgoingCustomer),
			AppID:            a.AppID,
			Mapping:          a.Mapping.Mapping,
			SignatureKey:     a.SignatureKey.Reveal(),
			PublicURL:        c.PublicURL,
		}
	}
	return accounts
}

// watchedAccounts are all but those of drills, whose reports are nonsense on
// purpose.
func watchedAccounts(c *config.Config) []webhook.Account {
	var accounts []webhook.Account
	for i, a := range webhookAccounts(c) {
		if !c.Accounts[i].Drill {
			accounts = append(accounts, a)
		}
	}
	return accounts
}

func openVault(c *config.Config) (archive.Vault, error) {
	if s := c.Vault.S3; s != nil {
		options := archive.S3Options{
			Endpoint:     s.Endpoint,
			Bucket:       s.Bucket,
			Region:       s.Region,
			AccessKey:    s.AccessKey,
			SecretKey:    s.SecretKey.Reveal(),
			PathStyle:    s.PathStyle,
			CAFile:       s.CAFile,
			CreateBucket: s.CreateBucket,
		}
		if s.ObjectLock != config.ObjectLockOff {
			options.Lock = archive.LockMode(s.ObjectLock)
		}
		if s.Encryption != "off" {
			options.Encryption = s.Encryption
		}
		v, err := archive.NewS3(options)
		if err != nil {
			return nil, fmt.Errorf("set up the vault: %w", err)
		}
		return v, nil
	}
	v, err := archive.OpenDirectory(c.Vault.Folder(c.Data))
	if err != nil {
		return nil, fmt.Errorf("open the vault: %w", err)
	}
	return v, nil
}

func vaultKind(c *config.Config) string {
	if c.Vault.S3 != nil {
		return "bucket " + c.Vault.S3.Bucket
	}
	return "directory " + c.Vault.Folder(c.Data)
}

// claimLease is how long a recording waits for a node that died while fetching
// it: short, for a node that starts again is often that very node.
const claimLease = 20 * time.Second

func newArchiver(c *config.Config, s *store.Store, v archive.Vault, rules func() call.Retention, busy func() bool, registry prometheus.Registerer, logger *slog.Logger) (*archive.Archiver, error) {
	accounts := make([]archive.Account, len(c.Accounts))
	for i, a := range c.Accounts {
		accounts[i] = archive.Account{
			Name:                 a.Name,
			Provider:             call.Provider(a.Provider),
			RecordingHosts:       a.RecordingHosts,
			AllowPrivateNetworks: a.AllowPrivateNetworks,
			APIURL:               a.APIURL,
			AppID:                a.AppID,
			Secret:               a.Secret.Reveal(),
			Credentials:          recordingCredentials(a),
		}
	}
	return archive.New(archive.Options{
		Store:       s,
		Vault:       v,
		Accounts:    accounts,
		Workers:     c.Archive.Workers,
		PerHost:     c.Archive.PerHost,
		MaxSize:     int64(c.Archive.MaxSize),
		GiveUpAfter: c.Archive.GiveUpAfter,
		Retention:   rules,
		Busy:        busy,
		SpoolDir:    filepath.Join(c.Data, "spool", "recordings"),
		Lease:       claimLease,
		Now:         time.Now,
		Logger:      logger,
		Metrics:     registry,
	})
}

func recordingCredentials(a config.Account) archive.Credentials {
	c := archive.Credentials{
		User: a.RecordingUser, Password: a.RecordingPassword.Reveal(), Header: http.Header{}, Query: url.Values{},
	}
	for _, h := range a.RecordingHeaders {
		c.Header.Add(h.Name, h.Value.Reveal())
	}
	for _, q := range a.RecordingQuery {
		c.Query.Add(q.Name, q.Value.Reveal())
	}
	return c
}

// reportsOf are the configured reports.
func reportsOf(c *config.Config) []reports.Report {
	var drills []string // their calls never happened
	for _, a := range c.Accounts {
		if a.Drill {
			drills = append(drills, a.Name)
		}
	}
	list := make([]reports.Report, len(c.Reports))
	for i, r := range c.Reports {
		list[i] = reports.Report{
			Name:     r.Name,
			Schedule: r.Schedule,
			Zone:     r.TimeZone.Location,
			Period:   reports.Kind(r.Period),
			Match:    filterOf(r.Match),
			ServiceLevel: reports.ServiceLevel{
				Formula: reports.Formula(r.ServiceLevel.Formula), Within: r.ServiceLevel.Within, ShortAbandon: r.ServiceLevel.ShortAbandon,
			},
			ReviseMailOver: float64(r.ReviseMailOver),
			MaskNumbers:    r.MaskNumbers,
		}
		for _, p := range r.PermittedHours {
			list[i].PermittedHours = append(list[i].PermittedHours, reports.PermittedHours{Campaign: p.Campaign, Agent: p.Agent, Hours: p.Hours})
		}
		addRecipients(&list[i], r.Recipients)
		if r.Match.Account == "" {
			list[i].Match.NotAccounts = drills
		}
		for _, f := range r.Formats {
			list[i].Formats = append(list[i].Formats, reports.Format(f))
		}
	}
	return list
}

func newReporter(c *config.Config, s *people, v archive.Vault, sealer *archive.Sealer, logger *slog.Logger) (*reports.Reporter, error) {
	mail, err := mailOptions(c)
	if err != nil {
		return nil, err
	}
	var witness reports.Witness // none without a sealer
	if sealer != nil {
		witness = sealer
	}
	return reports.New(reports.Options{
		Store:     s.Store, // a report has a roster of its own
		Vault:     vaultRooms{v},
		Witness:   witness,
		Reports:   reportsOf(c),
		Roster:    s.roster.Load,
		Mask:      func() (func(string) string, error) { return numberMask(c) },
		Until:     promiser(objectTerms(c, v.Locks() != archive.Unlocked), call.ReportObjects),
		PublicURL: c.PublicURL,
		SpoolDir:  filepath.Join(c.Data, "spool", "reports"),
		Mail:      mail,
		Version:   programVersion(),
		Now:       time.Now,
		Log:       logger,
	})
}

// numberMask hides customers' numbers by a secret made of the key of the audit
// log, which all nodes have and people keep.
func numberMask(c *config.Config) (func(string) string, error) {
	key, err := readAuditKey(c)
	if err == nil && key == nil {
		err = fmt.Errorf("%s is missing, the key of the audit log: numbers in reports are hidden by it", filepath.Join(c.Data, auditKeyFile))
	}
	if err != nil {
		return nil, err
	}
	secret, err := key.Derive("callvault customers' numbers in reports")
	if err != nil {
		return nil, err
	}
	return reports.MaskBy(secret), nil
}

// addRecipients adds those who get a report, each distinct match as a part of it.
func addRecipients(report *reports.Report, recipients []config.Recipient) {
	parts := make(map[string]int) // by name, those in report.Parts
	for _, r := range recipients {
		if r.Match.IsAll() {
			report.Recipients = append(report.Recipients, r.Address)
			continue
		}
		match := filterOf(config.Match{Account: r.Match.Account, Direction: r.Match.Direction, Agent: r.Match.Agent, Number: r.Match.Number, Campaign: r.Match.Campaign})
		match.Groups = slices.Sorted(slices.Values(r.Match.Group))
		name := reports.PartName(report.Name, match)
		n, known := parts[name]
		if !known {
			n = len(report.Parts)
			parts[name] = n
			report.Parts = append(report.Parts, reports.Part{Match: match})
		}
		report.Parts[n].Recipients = append(report.Parts[n].Recipients, r.Address)
	}
}

// reportGroups are the groups of the parts of reports, by the part's name. A part
// of another match has another name, so that what they were once they are for
// good; the match of a whole report may have been another one.
func reportGroups(all []reports.Report) map[string][]string {
	groups := map[string][]string{}
	for _, report := range all {
		for _, part := range report.Parts {
			if len(part.Match.Groups) > 0 {
				groups[reports.PartName(report.Name, part.Match)] = part.Match.Groups
			}
		}
	}
	return groups
}

// newWatcher keeps watch on all accounts but those of drills.
func newWatcher(c *config.Config, s *store.Store, conditions func(context.Context, time.Time) []watch.Condition, now func() time.Time, registry prometheus.Registerer, logger *slog.Logger) (*watch.Watcher, error) {
	var accounts []watch.Account
	for _, a := range c.Accounts {
		if a.Drill {
			continue
		}
		account := watch.Account{Name: a.Name, Zone: a.TimeZone.Location, Silence: a.Watch.Silence, Recordings: a.Watch.Recordings}
		if c.PublicURL != "" {
			account.Hook = c.PublicURL + "/webhook/" + a.Name
		}
		for _, d := range a.Watch.Holidays {
			account.Holidays = append(account.Holidays, watch.Day(d))
		}
		accounts = append(accounts, account)
	}
	senders := make(map[string]watch.Sender)
	mail, err := mailOptions(c)
	if err != nil {
		return nil, err
	}
	postman, err := reports.NewPostman(mail)
	if err != nil {
		return nil, err
	}
	for _, recipient := range c.Alerts.Recipients {
		senders[recipient] = alertMail{postman}
	}
	if address := c.Alerts.Webhook.Reveal(); address != "" {
		if senders[watch.WebhookTarget], err = watch.NewWebhook(address); err != nil {
			return nil, fmt.Errorf("alerts.webhook: %w", err)
		}
	}
	return watch.New(watch.Options{Store: s, Accounts: accounts, Conditions: conditions, Senders: senders, Now: now, Logger: logger, Metrics: registry})
}

// alertMail is the postman of reports as alerts see it.
type alertMail struct{ postman *reports.Postman }

// Send implements watch.Sender.
func (m alertMail) Send(ctx context.Context, target string, message watch.Message) error {
	return m.postman.Send(ctx, reports.Notice{ID: message.ID, Recipient: target, Subject: message.Subject, Text: message.Text, At: message.At})
}

// mailFolder takes mails where no mail server is configured.
func mailFolder(data string) string { return filepath.Join(data, "mail") }

func mailOptions(c *config.Config) (reports.MailOptions, error) {
	o := reports.MailOptions{
		Dir:             mailFolder(c.Data),
		From:            c.Mail.From,
		AttachmentLimit: int64(c.Mail.AttachmentLimit),
		ResendUncertain: c.Mail.OnUncertain == config.ResendUncertain,
	}
	if o.AttachmentLimit == 0 {
		o.AttachmentLimit = -1 // none at all, in the words of reports
	}
	if c.Mail.SMTP == "" {
		return o, nil
	}
	server, err := c.Mail.Server()
	if err != nil {
		return o, fmt.Errorf("mail.smtp: %w", err)
	}
	o.SMTP = &reports.SMTPServer{Host: server.Host, Port: server.Port, User: server.User, Password: server.Password.Reveal(), TLS: server.TLS}
	switch server.Security {
	case config.ImplicitTLS:
		o.SMTP.Security = reports.ImplicitTLS
	case config.OfferedSTARTTLS:
		o.SMTP.Security = reports.OfferedSTARTTLS
	case config.RequireSTARTTLS:
		o.SMTP.Security = reports.RequireSTARTTLS
	}
	return o, nil
}

// vaultRooms is the vault as the other rooms see it.
type vaultRooms struct{ vault archive.Vault }

// Open implements console.Vault.
func (v vaultRooms) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	body, _, err := v.vault.Open(ctx, key, offset, length)
	return body, err
}

// OpenFile implements reports.Vault.
func (v vaultRooms) OpenFile(ctx context.Context, key string) (io.ReadCloser, error) {
	return v.Open(ctx, key, 0, -1)
}

// ListFiles implements reports.Vault.
func (v vaultRooms) ListFiles(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for o, err := range v.vault.List(ctx, prefix) {
			if !yield(o.Key, err) {
				return
			}
		}
	}
}

// PutFile implements reports.Vault.
func (v vaultRooms) PutFile(ctx context.Context, key string, body io.ReadSeeker, size int64, sum [32]byte, mediaType string, until time.Time) error {
	at, ok := body.(io.ReaderAt)
	if !ok {
		return errors.New("a file for the vault must be readable at any place")
	}
	return archive.PutOnce(ctx, v.vault, key, at, archive.PutOptions{
		Size: size, SHA256: sum, MediaType: mediaType, Protection: archive.Protection{Until: until},
	})
}
