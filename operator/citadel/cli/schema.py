"""`citadel schema`: the JSON Schema by which editors complete and check YAML files."""

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of all kinds, for editors.

    citadel schema > citadel.schema.json, then in the first line of a file:
    # yaml-language-server: $schema=./citadel.schema.json
    """
    from citadel.api.generated import schema_text

    click.echo(schema_text(), nl=False)
