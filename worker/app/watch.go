package app

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"

	"dgworker/rules/rulesfile"
)

// watcher calls reload when the rules on disk change.
//
// It watches folders, not files: editors replace a file, and Kubernetes swaps a symlink (..data) beside it. Where the path
// is itself a symlink, the folder it stands in is watched too.
type watcher struct {
	fs    *fsnotify.Watcher
	done  chan struct{}
	close func()
}

// changeSettles is how long the disk must be quiet: an editor writes a file in several steps.
const changeSettles = 200 * time.Millisecond

func watchRules(path string, log *zap.Logger, reload func()) (*watcher, error) {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch rules: %w", err)
	}
	for _, dir := range foldersOf(path) {
		if err := fs.Add(dir); err != nil {
			fs.Close()
			return nil, fmt.Errorf("watch rules: %w", err)
		}
	}
	w := &watcher{fs: fs, done: make(chan struct{})}
	w.close = sync.OnceFunc(func() {
		fs.Close()
		<-w.done
	})
	go w.run(path, log, reload)
	return w, nil
}

func foldersOf(path string) []string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return []string{path, filepath.Dir(filepath.Clean(path))}
	}
	dirs := []string{filepath.Dir(path)}
	if real, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(real) != dirs[0] {
		dirs = append(dirs, filepath.Dir(real))
	}
	return dirs
}

func (w *watcher) run(path string, log *zap.Logger, reload func()) {
	defer close(w.done)
	last := fingerprint(path)
	settled := time.NewTimer(time.Hour)
	settled.Stop()
	defer settled.Stop()
	for {
		select {
		case _, ok := <-w.fs.Events:
			if !ok {
				return
			}
			settled.Reset(changeSettles)
		case err, ok := <-w.fs.Errors:
			if !ok {
				return
			}
			log.Warn("changes of the rules may go unseen until SIGHUP", zap.Error(err))
		case <-settled.C:
			if now := fingerprint(path); now != last {
				last = now
				reload()
			}
		}
	}
}

// fingerprint tells whether the rules themselves have changed: other files live in the folder too, and one of them may be
// the log that a reload writes to.
func fingerprint(path string) [sha256.Size]byte {
	files, err := rulesfile.Read(path)
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s %d\n%s", f.Name, len(f.Text), f.Text)
	}
	fmt.Fprint(h, err)
	return [sha256.Size]byte(h.Sum(nil))
}
