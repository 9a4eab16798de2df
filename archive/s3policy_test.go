package archive_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/testenv"
)

// policy is an S3 policy as docs/minio.md shows it.
type policy struct {
	Version   string
	Statement []struct {
		Sid, Effect      string
		Action, Resource []string
	}
}

// documentedPolicy reads the policy that docs/minio.md recommends, for a bucket.
func documentedPolicy(t *testing.T, bucket string) policy {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "minio.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```json\n")
	body, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("docs/minio.md has no policy")
	}
	var p policy
	if err := json.Unmarshal([]byte(strings.ReplaceAll(body, "recordings", bucket)), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// without is the policy as JSON, without one of its actions.
func (p policy) without(t *testing.T, action string) string {
	t.Helper()
	less := p
	less.Statement = slices.Clone(p.Statement)
	for i := range less.Statement {
		less.Statement[i].Action = slices.DeleteFunc(slices.Clone(less.Statement[i].Action), func(a string) bool { return a == action })
	}
	text, err := json.Marshal(less)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestS3WithTheDocumentedPolicy keeps the whole contract with the rights that
// docs/minio.md recommends and no others.
func TestS3WithTheDocumentedPolicy(t *testing.T) {
	t.Parallel()
	for _, mode := range lockModes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			bucket := testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true})
			opts := s3Options(testenv.MinIOUser(t, bucket, documentedPolicy(t, bucket.Name).without(t, "")))
			opts.Lock, opts.Encryption = mode, "sse-kms:"+testenv.MinIOKMSKey
			testVault(t, func(t *testing.T) archive.Vault { return openS3(t, opts) }, true)
			v := openS3(t, opts)
			if keeps, err := v.KeepsVersions(t.Context()); err != nil || !keeps {
				t.Errorf("keeps versions: %t, %v", keeps, err)
			}
			// Governance cannot be bypassed with these rights, whoever has them.
			o := describe([]byte("audio"))
			o.Protection.Until = time.Now().Add(time.Hour)
			if err := v.Put(t.Context(), "bypass/a", strings.NewReader("audio"), o); err != nil {
				t.Fatal(err)
			}
			id := versions(t, v, "bypass/")[0].ID
			if err := plainClient(t, opts).RemoveObject(t.Context(), opts.Bucket, "bypass/a", bypass(id)); err == nil {
				t.Error("the lock is bypassed")
			}
		})
	}
}

// TestS3NeedsEveryAction takes the actions of the documented policy away one
// after the other: each is missed.
func TestS3NeedsEveryAction(t *testing.T) {
	t.Parallel()
	bucket := testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true})
	p := documentedPolicy(t, bucket.Name)
	// For MinIO others include these, which Amazon's S3 asks for.
	generous := []string{"s3:DeleteObjectVersion", "s3:GetObject", "s3:GetObjectVersion", "s3:ListBucketVersions"}
	const all = "none" // is taken away
	actions := []string{all}
	for _, s := range p.Statement {
		actions = append(actions, s.Action...)
	}
	if len(actions) < 8 {
		t.Fatalf("actions: %v", actions)
	}
	for _, action := range actions {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			opts := s3Options(testenv.MinIOUser(t, bucket, p.without(t, action)))
			opts.Lock = archive.Governance
			err := useAll(t, openS3(t, opts), strings.TrimPrefix(action, "s3:")+"/a")
			if needed := action != all && !slices.Contains(generous, action); needed != (err != nil) {
				t.Errorf("without %q: %v", action, err)
			}
		})
	}
}

// useAll does with one object all that Callvault does, and says what did not
// work.
func useAll(t *testing.T, v *archive.S3, key string) error {
	t.Helper()
	ctx := t.Context()
	o := describe([]byte("audio"))
	o.Protection = archive.Protection{Until: time.Now().Add(1200 * time.Millisecond).Truncate(time.Second), Hold: true}
	_, keepsErr := v.KeepsVersions(ctx)
	err := errors.Join(v.Check(ctx), keepsErr, v.Put(ctx, key, strings.NewReader("audio"), o))
	r, info, openErr := v.Open(ctx, key, 0, -1)
	if openErr == nil {
		openErr = r.Close()
		if !info.Protection.Hold {
			openErr = errors.Join(openErr, errors.New("the hold does not show"))
		}
		if o.Protection.Until.After(time.Now()) && info.Protection.Until.IsZero() {
			openErr = errors.Join(openErr, errors.New("the lock does not show"))
		}
	}
	longer := archive.Protection{Until: time.Now().Add(1500 * time.Millisecond)}
	err = errors.Join(err, openErr, v.Protect(ctx, key, longer))
	for _, listErr := range v.List(ctx, key) {
		err = errors.Join(err, listErr)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		deleteErr := v.Delete(ctx, key)
		if _, locked := errors.AsType[*archive.LockedError](deleteErr); !locked || time.Since(longer.Until) > time.Minute {
			return errors.Join(err, deleteErr)
		}
		<-tick.C
	}
}
