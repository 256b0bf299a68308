module citadel.dev/go

go 1.24.0
