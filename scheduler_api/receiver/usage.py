"""The page that explains the receiver."""

USAGE = """\
The built-in receiver

A webhook to this address, or to any path below it, gets a response that shows
the request, and whether its signature is valid:

  signature          valid or not; what differs; in words
  event, attempt     from the headers of the delivery
  possibleDuplicate  whether the request may have arrived before
  method, path, query, headers, body

Options in the query of the URL:

  status=503            respond with this status, from 200 to 599
  first=2               only the first 2 attempts get the options, later ones
                        get 200; without other options, they get 503
  delay=2s              respond after this time, at most 120s
  drip=10s              send the body of the response slowly, at most 120s
  retry_after=30        Retry-After in seconds; with 503 unless there is a status
  retry_after_date=30   Retry-After as a date, so many seconds from now
  close                 close the connection without a response
  size=100000           a body of this many bytes, at most 1048576

Options can be combined, as in /receiver/orders?first=2&status=500&delay=1s.
"""
