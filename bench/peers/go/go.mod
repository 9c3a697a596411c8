module ringletpeers

go 1.23
