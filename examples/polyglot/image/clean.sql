-- Numbers as numbers; a route from an airport to itself, or to one without coordinates, cannot be measured.
CREATE TABLE airports AS
SELECT iata, city, state, CAST(latitude AS REAL) AS latitude, CAST(longitude AS REAL) AS longitude
FROM raw_airports
WHERE latitude <> '' AND longitude <> ''
  AND iata IN (SELECT origin FROM raw_flights UNION SELECT destination FROM raw_flights);

CREATE TABLE routes AS
SELECT origin, destination, CAST("count" AS INTEGER) AS flights
FROM raw_flights
WHERE origin <> destination
  AND origin IN (SELECT iata FROM airports) AND destination IN (SELECT iata FROM airports);

CREATE VIEW summary AS
SELECT json_object(
  'airports', (SELECT count(*) FROM airports),
  'routes', (SELECT count(*) FROM routes),
  'flights', (SELECT sum(flights) FROM routes),
  'dropped', (SELECT count(*) FROM raw_flights) - (SELECT count(*) FROM routes)
);
