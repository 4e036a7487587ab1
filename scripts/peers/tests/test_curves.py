import math
import unittest

from peers.curves import Rate, Ratio, ef_at, frontier, rate_at, ratio, spread, together


class RateAt(unittest.TestCase):
    def test_a_measured_point_is_itself(self):
        points = [(0.8, 900.0), (0.9, 500.0), (0.99, 100.0)]
        self.assertEqual(rate_at(points, 0.9), Rate(500.0))

    def test_between_points_the_logarithm_is_interpolated(self):
        found = rate_at([(0.90, 1000.0), (0.96, 10.0)], 0.93)
        self.assertAlmostEqual(found.value, 100.0)
        self.assertFalse(found.at_least)

    def test_order_of_points_says_nothing(self):
        points = [(0.8, 900.0), (0.9, 500.0), (0.99, 100.0)]
        self.assertEqual(rate_at(points[::-1], 0.95), rate_at(points, 0.95))

    def test_a_recall_that_no_point_reaches_has_no_rate(self):
        self.assertIsNone(rate_at([(0.8, 900.0), (0.9, 500.0)], 0.95))
        self.assertIsNone(rate_at([], 0.5))

    def test_a_curve_that_begins_above_the_recall_gives_a_lower_bound(self):
        self.assertEqual(rate_at([(0.93, 700.0), (0.99, 100.0)], 0.9), Rate(700.0, at_least=True))

    def test_a_beaten_point_does_not_count(self):
        # The second point is slower and worse than the third: noise.
        points = [(0.90, 1000.0), (0.949, 10.0), (0.95, 400.0), (0.99, 100.0)]
        self.assertEqual(frontier(points), [(0.90, 1000.0), (0.95, 400.0), (0.99, 100.0)])
        self.assertGreater(rate_at(points, 0.945).value, 400.0)

    def test_of_equal_recalls_the_faster_counts(self):
        self.assertEqual(rate_at([(0.9, 10.0), (0.9, 20.0)], 0.9), Rate(20.0))


class EfAt(unittest.TestCase):
    def test_between_widths_the_logarithm_is_interpolated(self):
        self.assertAlmostEqual(ef_at([(0.9, 16), (0.96, 64)], 0.93), 32.0)

    def test_outside_of_the_curve_there_is_none(self):
        self.assertIsNone(ef_at([(0.9, 16), (0.96, 64)], 0.97))
        self.assertIsNone(ef_at([(0.9, 16), (0.96, 64)], 0.8))


class Ratios(unittest.TestCase):
    def test_of_two_rates(self):
        self.assertEqual(ratio(Rate(300.0), Rate(100.0)), Ratio(3.0))

    def test_a_lower_bound_above_stays_one(self):
        self.assertEqual(ratio(Rate(300.0, at_least=True), Rate(100.0)), Ratio(3.0, at_least=True))

    def test_a_lower_bound_below_says_nothing(self):
        self.assertIsNone(ratio(Rate(300.0), Rate(100.0, at_least=True)))

    def test_what_is_unknown_has_no_ratio(self):
        self.assertIsNone(ratio(None, Rate(1.0)))
        self.assertIsNone(ratio(Rate(1.0), None))


class OverMeasurements(unittest.TestCase):
    def test_two_of_one_thing_have_a_geometric_mean(self):
        self.assertAlmostEqual(together([Rate(100.0), Rate(400.0)]).value, 200.0)
        self.assertTrue(together([Rate(1.0), Rate(1.0, at_least=True)]).at_least)

    def test_a_missing_one_is_not_left_out_in_silence(self):
        self.assertIsNone(together([Rate(100.0), None]))
        self.assertIsNone(together([]))

    def test_spread_has_median_and_ends_of_the_known(self):
        found = spread([Ratio(2.0), None, Ratio(4.0), Ratio(3.0)])
        self.assertEqual((found.median, found.least, found.most, found.count), (3.0, 2.0, 4.0, 3))
        self.assertIsNone(spread([None]))
        self.assertTrue(math.isclose(spread([Ratio(1.0), Ratio(2.0)]).median, 1.5))


if __name__ == "__main__":
    unittest.main()
