package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockFile is held by the running server as long as it lives; the system lets
// it go also when the process is killed.
const lockFile = "callvault.lock"

// lockFolder takes the data folder for one server: two would empty one spool
// together.
func lockFolder(data string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(data, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("another Callvault runs on the data folder %s: end it, or give --data another folder", data)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
