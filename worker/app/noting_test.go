package app

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestUseIsNotedAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		stop := keepNoting(func(context.Context) { n++ })
		time.Sleep(5*useEvery + time.Minute)
		synctest.Wait()
		stop()
		time.Sleep(5 * useEvery)
		if n != 5 {
			t.Errorf("noted %d times in five hours and five more", n)
		}
	})
}
