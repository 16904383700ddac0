package helper

// Supported returns nil: this system can have a helper.
func Supported() error { return nil }
