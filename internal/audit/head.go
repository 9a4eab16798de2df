package audit

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Head is the log at one moment: how many entries it has, and the root hash of
// the tree over them.
type Head struct {
	Size int64     `json:"size"`
	Hash tlog.Hash `json:"hash"`
}

// Tree is all of a log that it takes to append to it: its size, and the roots
// of the complete subtrees of which the tree consists, from left to right. They
// are as many as Size has ones as a binary number.
type Tree struct {
	Size int64
	Edge []tlog.Hash
}

// Append returns the tree with more leaves, and for each leaf the hashes that
// must be stored with it: its own, and those of the subtrees that it completes
// (as tlog.StoredHashes).
func (t Tree) Append(leaves []tlog.Hash) (Tree, [][]tlog.Hash, error) {
	known := map[int64]tlog.Hash{}
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			h, ok := known[index]
			if !ok {
				return nil, fmt.Errorf("the log's hash %d is not at hand", index)
			}
			hashes[i] = h
		}
		return hashes, nil
	})
	_, err := tlog.TreeHash(t.Size, t.edgeReader(func(i int, index int64) { known[index] = t.Edge[i] }))
	if err != nil {
		return t, nil, err
	}
	stored := make([][]tlog.Hash, len(leaves))
	for i, leaf := range leaves {
		hashes, err := tlog.StoredHashesForRecordHash(t.Size, leaf, reader)
		if err != nil {
			return t, nil, err
		}
		first := tlog.StoredHashIndex(0, t.Size)
		for n, h := range hashes {
			known[first+int64(n)] = h
		}
		stored[i] = hashes
		t.Size++
	}
	// The root is computed of just the edge, so what is asked for is the edge.
	_, err = tlog.TreeHash(t.Size, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		edge, err := reader(indexes)
		t.Edge = slices.Clone(edge)
		return edge, err
	}))
	return t, stored, err
}

// Head returns the tree's head.
func (t Tree) Head() (Head, error) {
	root, err := tlog.TreeHash(t.Size, t.edgeReader(func(int, int64) {}))
	return Head{t.Size, root}, err
}

// edgeReader answers the one question for hashes that tlog.TreeHash asks, which
// is for the edge, and tells what index each has in the log's storage.
func (t Tree) edgeReader(tell func(i int, index int64)) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		if len(indexes) != len(t.Edge) {
			return nil, fmt.Errorf("the head of a log with %d entries has %d hashes, and must have %d", t.Size, len(t.Edge), len(indexes))
		}
		for i, index := range indexes {
			tell(i, index)
		}
		return t.Edge, nil
	})
}
