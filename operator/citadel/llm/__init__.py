"""The only part that talks to language models. It knows neither the cluster nor a database."""
