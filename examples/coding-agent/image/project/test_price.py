import unittest
from decimal import Decimal

from price import parse_price


class Prices(unittest.TestCase):
    def test_a_price_with_a_point(self):
        self.assertEqual(parse_price(" 1234.50 "), Decimal("1234.50"))

    def test_what_is_no_price(self):
        with self.assertRaises(ValueError):
            parse_price("a lot")
