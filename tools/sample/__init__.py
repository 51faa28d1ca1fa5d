"""Where the shipped sample comes from: two invented patients whose charts lie scattered over four hospitals."""
