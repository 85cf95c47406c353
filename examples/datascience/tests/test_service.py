import httpx
import pytest
from pydantic import ValidationError

from readings.client import ReadingsClient
from readings.model import Batch, Reading


def body(readings):
    return Batch(readings=readings).model_dump(mode="json")


def test_the_service_is_up(client):
    assert client.get("/healthz").json() == {"status": "ok"}


def test_a_summary_goes_over_http(client, readings):
    answer = client.post("/summary", json=body(readings))
    assert answer.status_code == 200
    assert [row["count"] for row in answer.json()] == [1, 2, 1]


def test_the_limit_of_outliers_is_a_query_parameter(client, readings):
    assert client.post("/outliers", params={"limit": 50}, json=body(readings)).json() == []
    near = client.post("/outliers", params={"limit": 1}, json=body(readings)).json()
    assert [row["celsius"] for row in near] == [30.0]


@pytest.mark.parametrize("celsius", [-91, 61, "nan", "warm", None])
def test_a_temperature_that_cannot_be_is_refused(client, readings, celsius):
    sent = body(readings)
    sent["readings"][0]["celsius"] = celsius
    answer = client.post("/summary", json=sent)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "readings", 0, "celsius"]


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValidationError, match="timezone"):
        Reading(sensor="roof", at="2026-06-01T12:00:00", celsius=20)


def test_an_empty_batch_is_refused(client):
    assert client.post("/summary", json={"readings": []}).status_code == 422


def test_the_client_answers_with_a_frame(client, readings):
    table = ReadingsClient(client).summary(readings)
    assert table.loc["roof"]["mean"].tolist() == [21.0, 30.0]
    assert str(table.index.get_level_values("hour").tz) == "UTC"


def test_the_client_raises_what_the_service_refuses(readings):
    down = httpx.Client(base_url="http://service.example", transport=httpx.MockTransport(lambda _: httpx.Response(503)))
    with down, pytest.raises(httpx.HTTPStatusError, match="503"):
        ReadingsClient(down).summary(readings)


def test_the_interface_is_described(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/healthz", "/summary", "/outliers"}
