package rules

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// cronShortcuts are the names that stand for five fields.
var cronShortcuts = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// cronField is one of the five: its bounds, and the names that its numbers have.
type cronField struct {
	name     string
	min, max int
	names    []string // of min, min+1, …
}

var cronFields = []cronField{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of the month", 1, 31, nil},
	{"month", 1, 12, []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}},
	{"day of the week", 0, 7, []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}},
}

// monthDays is how long a month can be.
var monthDays = []int{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// parseCron turns the five fields that people know into the six of NATS: seconds first, Sunday only as 0, and ranges that
// go over the end of the week or of the hour written out. As usual, where both days are given either will do.
func parseCron(source string) (string, error) {
	text := strings.TrimSpace(source)
	if strings.HasPrefix(text, "@") {
		fields, ok := cronShortcuts[strings.ToLower(text)]
		if !ok {
			return "", fmt.Errorf("cron knows no %s: write five fields, or @hourly, @daily, @weekly, @monthly or @yearly", text)
		}
		text = fields
	}
	fields := strings.Fields(text)
	if len(fields) != len(cronFields) {
		return "", fmt.Errorf("cron has 5 fields (minute, hour, day of the month, month, day of the week), not %d", len(fields))
	}
	values, out := make([][]int, len(fields)), []string{"0"}
	for i, f := range cronFields {
		var err error
		if values[i], err = f.parse(fields[i]); err != nil {
			return "", fmt.Errorf("cron, %s: %w", f.name, err)
		}
		out = append(out, f.format(values[i]))
	}
	if err := everComes(values[2], values[3], values[4]); err != nil {
		return "", err
	}
	return strings.Join(out, " "), nil
}

// parse returns the numbers that a field means, ascending; nil for all of them.
func (f cronField) parse(field string) ([]int, error) {
	if field == "*" || field == "?" {
		return nil, nil
	}
	var all []int
	for item := range strings.SplitSeq(field, ",") {
		some, err := f.item(item)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// item reads one of: 5, MON, 1-5, FRI-MON, *, each of the last three with a step as in */15; 5/15 is 5-59/15.
func (f cronField) item(item string) ([]int, error) {
	span, stepText, stepped := strings.Cut(item, "/")
	step := 1
	if stepped {
		n, err := strconv.Atoi(stepText)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q: a step is a whole number from 1", item)
		}
		step = n
	}
	from, to, err := f.span(span, stepped)
	if err != nil {
		return nil, err
	}
	size := f.size()
	if to < from {
		to += size
	}
	var all []int
	for n := from; n <= to; n += step {
		all = append(all, f.min+(n-f.min)%size)
	}
	return all, nil
}

// size is how many different numbers the field has: 7 is Sunday again.
func (f cronField) size() int {
	if f.max == 7 {
		return 7
	}
	return f.max - f.min + 1
}

func (f cronField) span(span string, stepped bool) (from, to int, err error) {
	if span == "*" {
		return f.min, f.min + f.size() - 1, nil
	}
	low, high, ranged := strings.Cut(span, "-")
	if from, err = f.number(low); err != nil {
		return 0, 0, err
	}
	switch {
	case ranged:
		to, err = f.number(high)
	case stepped:
		to = f.min + f.size() - 1
		from = f.min + (from-f.min)%f.size()
	default:
		to = from
	}
	return from, to, err
}

func (f cronField) number(s string) (int, error) {
	for i, name := range f.names {
		if strings.EqualFold(s, name) {
			return f.min + i, nil
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil || strings.HasPrefix(s, "+") || n < f.min || n > f.max {
		what := fmt.Sprintf("from %d to %d", f.min, f.max)
		if f.names != nil {
			what += " or from " + f.names[0] + " to " + f.names[len(f.names)-1]
		}
		return 0, fmt.Errorf("%q is not %s", s, what)
	}
	return n, nil
}

func (f cronField) format(values []int) string {
	if values == nil {
		return "*"
	}
	all := make([]string, len(values))
	for i, n := range values {
		all[i] = strconv.Itoa(n)
	}
	return strings.Join(all, ",")
}

// everComes refuses the 31st of February.
func everComes(days, months, weekdays []int) error {
	if days == nil || weekdays != nil {
		return nil
	}
	for month := 1; month <= 12; month++ {
		if (months == nil || slices.Contains(months, month)) && days[0] <= monthDays[month] {
			return nil
		}
	}
	return errors.New("cron: that day never comes")
}
