-- One row a month from hours(moment '2010/01/31 23:00', fahrenheit); all that comes out, and :base, is in °C.
WITH days AS (
  SELECT replace(substr(moment, 1, 10), '/', '-') AS day,
         avg((fahrenheit - 32) / 1.8) AS mean,
         min((fahrenheit - 32) / 1.8) AS low,
         max((fahrenheit - 32) / 1.8) AS high
  FROM hours
  GROUP BY 1
)
SELECT substr(day, 1, 7) AS month,
       avg(mean) AS mean,
       min(low) AS low,
       max(high) AS high,
       sum(max(0, :base - mean)) AS heating_degree_days
FROM days
GROUP BY 1
ORDER BY 1;
