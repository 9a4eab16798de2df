package config

import (
	"slices"
	"time"
)

// This file is the one place of all defaults. What each key means is said at
// its field.

// Default is the configuration without a file: SQLite and a directory, no
// accounts and no reports.
func Default() Config {
	return Config{
		Listen: "127.0.0.1:8080",
		Data:   "./callvault-data",
		Archive: Archive{
			Workers:       8,
			PerHost:       4,
			MaxSize:       512 << 20,
			FirstTryAfter: 10 * time.Second,
			GiveUpAfter:   72 * time.Hour,
			Analyse:       true,
		},
		Retention: Retention{
			Schedule:        "30 1 * * *",
			TimeZone:        defaultZone(),
			WaitAfterChange: 7 * 24 * time.Hour,
			PerSecond:       50,
		},
		Verify: Verify{Scrub: ScrubPeriod(30 * 24 * time.Hour), Rate: 20 << 20},
		Export: Export{Keep: Term{Days: 7}},
		Mail: Mail{
			From:            "Callvault <callvault@localhost>",
			OnUncertain:     HoldUncertain,
			AttachmentLimit: 20e6,
		},
	}
}

// defaultZoneName and defaultRegion are where the providers are at home.
const (
	defaultZoneName = "Asia/Kolkata"
	defaultRegion   = "IN"
)

// setDefaults fills what an S3 vault has when only its required keys are given.
func (s *S3) setDefaults() {
	s.Region = "us-east-1"
	s.PathStyle = true
	s.CreateBucket = true
	s.ObjectLock = ObjectLockOff
	s.Encryption = "off"
}

// NewAccount is an account of which only the defaults are given.
func NewAccount() Account {
	var a Account
	a.setDefaults()
	return a
}

// setDefaults fills what every account has; complete adds what depends on its
// provider.
func (a *Account) setDefaults() {
	a.TimeZone = defaultZone()
	a.Region = defaultRegion
	a.Backfill = Backfill{Every: time.Hour, Window: 48 * time.Hour}
	a.Rate = Rate{PerSecond: 5000, Burst: 10000}
	a.Watch = Watch{Silence: true, Recordings: true}
}

// complete fills what an account's provider decides.
func (a *Account) complete() {
	var hosts []string
	var api string
	switch a.Provider {
	case CallerDesk:
		hosts, api = []string{"*.callerdesk.io"}, "https://app.callerdesk.io/api"
		if a.OutgoingCustomer == "" {
			a.OutgoingCustomer = CustomerInDialWhom
		}
	case TeleCMI:
		api = "https://rest.telecmi.com/v2" // its host joins the list in check
	case Mapped:
		if a.Mapping.Mapping != nil {
			hosts = slices.Clone(a.Mapping.RecordingHosts)
		}
	}
	if len(a.RecordingHosts) == 0 {
		a.RecordingHosts = hosts
	}
	if a.APIURL == "" {
		a.APIURL = api
	}
}

// setDefaults fills what a report has when only its name is given.
func (r *Report) setDefaults() {
	r.Schedule = "0 7 * * *"
	r.TimeZone = defaultZone()
	r.Period = PeriodDay
	r.Formats = []Format{FormatXLSX, FormatCSV}
	r.ServiceLevel = ServiceLevel{
		Formula:      OfOffered,
		Within:       20 * time.Second,
		ShortAbandon: 5 * time.Second,
	}
	r.ReviseMailOver = 0.05
}

// defaultZone cannot fail: zone data is part of the program.
func defaultZone() Zone {
	location, err := time.LoadLocation(defaultZoneName)
	if err != nil {
		panic("embedded time zone is missing: " + err.Error())
	}
	return Zone{location}
}
