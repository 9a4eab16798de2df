package testenv

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/minio/minio-go/v7/pkg/signer"
	"github.com/secure-io/sio-go"
	"golang.org/x/crypto/argon2"
)

// MinIOUser makes a user of MinIO's own who may do what a policy (JSON) says
// and nothing else, and returns the bucket with the user's credentials.
func MinIOUser(t testing.TB, b Bucket, policy string) Bucket {
	t.Helper()
	user := b
	user.AccessKey, user.SecretKey = uniqueName("user"), uniqueName("secret")
	secret, err := json.Marshal(map[string]string{"secretKey": user.SecretKey, "status": "enabled"})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sealForMinIO(b.SecretKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, act := range []struct {
		path  string
		query url.Values
		body  []byte
	}{
		{"add-user", url.Values{"accessKey": {user.AccessKey}}, sealed},
		{"add-canned-policy", url.Values{"name": {user.AccessKey}}, []byte(policy)},
		{"set-user-or-group-policy", url.Values{"policyName": {user.AccessKey}, "userOrGroup": {user.AccessKey}, "isGroup": {"false"}}, nil},
	} {
		if err := askMinIO(t.Context(), b, act.path+"?"+act.query.Encode(), act.body); err != nil {
			t.Fatal(err)
		}
	}
	return user
}

// askMinIO asks the administrators' API.
func askMinIO(ctx context.Context, b Bucket, pathAndQuery string, body []byte) (err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, b.Endpoint+"/minio/admin/v3/"+pathAndQuery, bytes.NewReader(body))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	answer, err := http.DefaultClient.Do(signer.SignV4(*r, b.AccessKey, b.SecretKey, "", ""))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode != http.StatusOK {
		text, err := io.ReadAll(answer.Body)
		return errors.Join(fmt.Errorf("%s: %s: %s", r.URL.Path, answer.Status, text), err)
	}
	return nil
}

// sealForMinIO encrypts as that API wants what is secret: salt, the number of
// the algorithms (Argon2id and AES-256-GCM), nonce, text.
func sealForMinIO(password string, text []byte) ([]byte, error) {
	salt := make([]byte, 32)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	stream, err := sio.AES_256_GCM.Stream(argon2.IDKey([]byte(password), salt, 1, 64<<10, 4, 32))
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, stream.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	var sealed bytes.Buffer
	sealed.Write(salt)
	sealed.WriteByte(0)
	sealed.Write(nonce)
	w := stream.EncryptWriter(&sealed, nonce, nil)
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return sealed.Bytes(), nil
}
