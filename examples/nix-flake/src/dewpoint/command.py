"""``dewpoint 20 65 --wall 13``: the dew point, and whether that wall gets wet."""

import click

from dewpoint import dew_point, gets_wet


@click.command()
@click.argument("temperature", type=float)
@click.argument("humidity", type=click.FloatRange(0, 100, min_open=True))
@click.option("--wall", type=float, help="The temperature of a wall in degrees C.")
def main(temperature: float, humidity: float, wall: float | None) -> None:
    """The dew point of air: its TEMPERATURE in degrees C, its HUMIDITY in percent."""
    click.echo(f"{dew_point(temperature, humidity):.1f} degrees C")
    if wall is not None:
        click.echo("the wall gets wet" if gets_wet(wall, temperature, humidity) else "the wall stays dry")


if __name__ == "__main__":
    main()
