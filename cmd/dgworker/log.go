package main

import (
	"fmt"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

type logFlags struct {
	LogLevel  string `default:"info" enum:"debug,info,warn,error" env:"DGWORKER_LOG_LEVEL" help:"debug, info, warn or error."`
	LogFormat string `default:"auto" enum:"auto,json,console" env:"DGWORKER_LOG_FORMAT" help:"json, console, or auto: console on a terminal."`
}

// logger writes to standard error, for people on a terminal and as JSON anywhere else.
func (f logFlags) logger() (*zap.Logger, error) {
	level, err := zap.ParseAtomicLevel(f.LogLevel)
	if err != nil {
		return nil, fmt.Errorf("read --log-level: %w", err)
	}
	c := zap.NewProductionConfig()
	c.Level, c.Sampling, c.DisableCaller, c.DisableStacktrace = level, nil, true, true
	c.EncoderConfig.TimeKey, c.EncoderConfig.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	c.EncoderConfig.EncodeDuration = zapcore.StringDurationEncoder
	if f.LogFormat == "console" || f.LogFormat == "auto" && term.IsTerminal(int(os.Stderr.Fd())) {
		c.Encoding = "console"
		c.EncoderConfig.EncodeLevel = zapcore.CapitalColorLevelEncoder
		c.EncoderConfig.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
	}
	return c.Build()
}
